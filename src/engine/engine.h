#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "chip/oci_edits.h"
#include "model/cluster.h"
#include "model/ids.h"
#include "model/job.h"

namespace busbar::engine {

/// What an engine can do here and now, with the reason for what it cannot.
struct Capability {
  std::string name = {};  ///< "memory_limit", "cpu_limit", "user_namespace", "oci_layout", "pause" ...
  bool is_available = false;
  std::string detail = {};  ///< "cgroup v1 memory controller", or why not and what to do.
};

struct Mount {
  std::string source = {};  ///< Host path.
  std::string target = {};
  bool is_read_only = false;
};

/// A secret's bytes, from the secret store to a memory file in the container. Never logged, never in the journal.
struct SecretFile {
  std::string name = {};
  std::string env = {};
  std::string value = {};
};

/// Everything that one task's container needs.
struct TaskLaunch {
  std::uint32_t rank = 0;
  std::string hostname = {};
  std::vector<std::string> argv = {};
  std::map<std::string, std::string> env = {};
  std::string workdir = {};                       ///< Made if absent.
  std::map<std::string, std::string> files = {};  ///< Placed below /run/busbar, mode 0755.
  std::vector<Mount> mounts = {};
  chip::OciEdits device_edits = {};
  MilliCpus cpus = {};  ///< 0: no limit.
  Bytes memory = {};    ///< 0: no limit.
  Bytes shm_size = {};  ///< 0: 64 MiB.
  std::vector<SecretFile> secrets = {};
  /// Names of tasks of the gang, also of those that it may get later, that must lead to this machine.
  std::vector<std::string> peers = {};
  bool ends_gang = false;
  bool is_host_only = false;
  /// For adopt: added to a gang that runs, and the server's record does not say that it was started. What there is of
  /// it is removed unless it runs, and extend() follows.
  bool is_awaited = false;
  /// For adopt: up to where the server's own record has taken report.jsonl; lines after it are delivered (again).
  std::uint64_t report_offset = 0;
};

/// One attempt of a job: all its tasks on this engine.
struct AttemptLaunch {
  model::AttemptId id = {};
  std::string job_name = {};
  std::string user = {};
  std::string image = "host";
  bool has_terminal = false;  ///< dev shells: each task gets a tty.
  bool is_live = false;       ///< Tasks may come and go: extend() and shrink().
  /// For adopt: the server's record has no GangCreated of it, so no user code can have run yet.
  bool may_begin_again = false;
  std::uint16_t service_port = 0;  ///< Where task 0 of a service's replica listens; 0: no replica.
  std::vector<TaskLaunch> tasks = {};
};

/// Tasks that a gang which runs gets beside those that it has. They start as soon as they are made: no barrier.
struct Extension {
  model::AttemptId attempt = {};
  std::vector<TaskLaunch> tasks = {};  ///< With the ranks after those that it has.
  /// Also written anew, each at once, below /run/busbar of all tasks.
  std::map<std::string, std::string> files = {};
};

/// The tasks of a gang from rank `kept` on are to end as by stop(), the others go on.
struct Reduction {
  model::AttemptId attempt = {};
  std::uint32_t kept = 0;
  std::int64_t grace_ms = 0;
  int signal_first = 0;  ///< 0: none.
  /// Written anew, each at once, below /run/busbar of all tasks.
  std::map<std::string, std::string> files = {};
};

// Facts: what the engine saw. Delivered in order for one attempt.
struct NodeObserved {
  model::Node node = {};
  /// Why a card is unhealthy, by its index.
  std::map<std::uint16_t, std::string> health_details = {};
};
struct ImageReady {
  model::AttemptId attempt = {};
};
/// All containers exist and wait at the barrier.
struct GangCreated {
  model::AttemptId attempt = {};
};
/// User code runs.
struct GangReleased {
  model::AttemptId attempt = {};
};
struct TaskEnded {
  model::TaskId task = {};
  model::ExitClass exit_class = model::ExitClass::kSuccess;
  std::int32_t exit_code = 0;  ///< 128 + signal for signals.
  std::string detail = {};     ///< "killed by the kernel: over its memory limit of 2GiB", "runc create: ...".
};
/// Of an Extension: user code runs in all tasks below this rank.
struct TasksAdded {
  model::AttemptId attempt = {};
  std::uint32_t tasks = 0;
};
/// Of a Reduction: nothing is left of the tasks from this rank on but their logs. Their ends were told before.
struct TasksRemoved {
  model::AttemptId attempt = {};
  std::uint32_t kept = 0;
};
/// Nothing is left of the attempt but its logs: containers, mounts, cgroups and ports are gone.
struct AttemptGone {
  model::AttemptId attempt = {};
};
/// Lines that the SDK appended to report.jsonl. `offset` is the file position after these lines: the receiver stores it
/// with what it made of them and hands it back to `adopt` as TaskLaunch::report_offset, so kill -9 loses and repeats
/// nothing.
struct ReportLines {
  model::TaskId task = {};
  std::uint64_t offset = 0;
  std::vector<std::string> lines = {};
};
struct Fact {
  TimeMs time_ms = 0;
  std::variant<NodeObserved, ImageReady, GangCreated, GangReleased, TaskEnded, AttemptGone, ReportLines, TasksAdded,
               TasksRemoved>
      body;
};
/// Called from the engine's threads, one at a time.
using FactSink = std::function<void(Fact)>;

struct TaskStats {
  std::int64_t cpu_usage_ms = 0;
  Bytes memory = {};
  Bytes memory_peak = {};
  std::uint32_t processes = 0;
};

/// A process inside a running task, or the task's own terminal: bytes both ways.
class TerminalSession {
 public:
  struct Callbacks {
    std::function<void(int stream, std::string_view bytes)> on_output;  ///< stream 1 or 2; 1 only with a tty.
    std::function<void()> on_input_drained;                             ///< See write_input.
    std::function<void(int exit_code)> on_exit;                         ///< Last call.
  };
  /// Unread input beyond which `write_input` gives false.
  static constexpr std::size_t kMaxWaitingInput = 256 << 10;

  virtual ~TerminalSession() = default;  ///< Ends what still runs (exec); detaches (attach).
  /// Queues all of it, whatever it gives. False: kMaxWaitingInput or more waits for the process to read it; a caller
  /// that goes on all the same fills the memory. `on_input_drained` is called once when a quarter of that is left.
  virtual bool write_input(std::string_view bytes) = 0;
  virtual void close_input() = 0;
  virtual void resize(std::uint16_t rows, std::uint16_t columns) = 0;
  virtual void signal(int number) = 0;
  /// Stops and resumes reading of output: backpressure from a slow client. Also called inside on_output, and by another
  /// thread at the same time: it must not wait for a callback to return.
  virtual void pause_output(bool is_paused) = 0;
};

struct ExecRequest {
  model::TaskId task = {};
  std::vector<std::string> argv = {};
  std::map<std::string, std::string> env = {};
  std::string workdir = {};
  bool has_terminal = false;
  std::uint16_t rows = 24;
  std::uint16_t columns = 80;
};

/// A task's output, kept in files with rotation: oldest first.
struct LogFiles {
  std::vector<std::string> paths = {};
};

/// Runs tasks. Reports facts and obeys; decides nothing (design §6). Every call is thread-safe and returns soon: work
/// goes on in the engine's own threads, its outcome comes as facts.
class Engine {
 public:
  virtual ~Engine() = default;

  virtual std::vector<Capability> capabilities() const = 0;
  /// The nodes that this engine has now, with their cards.
  virtual Result<std::vector<model::Node>> observe_nodes() = 0;

  /// What a container of `node` must be given to see exactly these of its cards; `per_card` below 1000: a share of
  /// each. Errors are those of chip::edits_for.
  virtual Result<chip::OciEdits> edits_for(model::NodeId node, const std::vector<model::Card>& granted,
                                           MilliCards per_card) = 0;

  /// Begins to deliver facts. `active`: attempts that should exist, by the server's own record; what exists is adopted
  /// and its facts (exits that happened meanwhile included) are delivered, what does not is reported as ended
  /// (kInfrastructure, "lost while the server was down") and gone; containers of no known attempt are removed.
  ///
  /// Returns the attempts that may begin again and whose containers were never complete: the engine has removed what
  /// there was of them and waits for their start(). So a server that dies while it starts a job costs the job nothing.
  virtual Result<std::vector<model::AttemptId>> adopt(const std::vector<AttemptLaunch>& active, FactSink sink) = 0;

  /// Makes rootfs and containers up to the barrier -> ImageReady, GangCreated, or TaskEnded(kInfrastructure) and
  /// AttemptGone. Idempotent by attempt id: a second call for a known attempt does nothing.
  virtual Result<void> start(AttemptLaunch launch) = 0;
  /// Opens the barrier -> GangReleased. Idempotent.
  virtual Result<void> release(model::AttemptId attempt) = 0;
  /// Ends the attempt: `signal_first` (0: none) then SIGTERM to every task, SIGKILL after the grace -> TaskEnded for
  /// each, AttemptGone. Idempotent; a shorter grace takes effect.
  virtual Result<void> stop(model::AttemptId attempt, std::int64_t grace_ms, int signal_first) = 0;
  /// Makes and starts more tasks of an attempt that runs -> TasksAdded, or TaskEnded(kInfrastructure) of those that
  /// could not be made. Idempotent: tasks that are there are left alone. kNotFound for an attempt that is unknown or
  /// gone.
  virtual Result<void> extend(Extension extension) = 0;
  /// Ends the last tasks of an attempt that runs -> TaskEnded(kCancelled) for each, TasksRemoved. If the attempt ends
  /// as a whole meanwhile, AttemptGone may stand for both. Idempotent; a shorter grace takes effect. kNotFound as
  /// above.
  virtual Result<void> shrink(const Reduction& reduction) = 0;
  virtual Result<void> signal(model::TaskId task, int number) = 0;
  virtual Result<void> pause(model::AttemptId attempt) = 0;
  virtual Result<void> resume(model::AttemptId attempt) = 0;

  virtual Result<LogFiles> logs(model::TaskId task) const = 0;
  virtual Result<std::unique_ptr<TerminalSession>> exec(const ExecRequest& request,
                                                        TerminalSession::Callbacks callbacks) = 0;
  /// kFailedPrecondition if the task has no terminal and its input was not kept open.
  virtual Result<std::unique_ptr<TerminalSession>> attach(model::TaskId task, TerminalSession::Callbacks callbacks) = 0;
  virtual Result<TaskStats> stats(model::TaskId task) = 0;

  /// `count` free TCP ports on the node, leased to the attempt until it is gone.
  virtual Result<std::vector<std::uint16_t>> lease_ports(model::AttemptId attempt, std::size_t count) = 0;
  /// All that are leased to the attempt now, in the order in which they were leased; also by earlier lives of the
  /// server.
  virtual std::vector<std::uint16_t> leased_ports(model::AttemptId attempt) const = 0;
  /// What the container configuration would be, for --dry-run: OCI config.json by rank. Starts nothing.
  virtual Result<std::vector<Json>> preview(const AttemptLaunch& launch) = 0;
  /// Attempts that are gone and whose logs and files are still there, also of earlier lives of the server; ascending.
  virtual Result<std::vector<model::AttemptId>> kept() const = 0;
  /// How much room the files of such an attempt take. Looks at each of them. 0 for an attempt without files.
  virtual Bytes kept_bytes(model::AttemptId attempt) const = 0;
  /// Deletes logs and files of an attempt that is gone: none of them can be found once this returns, after a crash in
  /// the middle all of them or none. Idempotent.
  virtual Result<void> forget(model::AttemptId attempt) = 0;
  /// Stops threads; containers go on.
  virtual void shutdown() = 0;
};

}  // namespace busbar::engine

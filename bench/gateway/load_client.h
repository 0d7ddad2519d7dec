#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/chunk_scanner.h"
#include "gateway/http_head.h"
#include "latencies.h"
#include "load_plan.h"
#include "os/unique_fd.h"

namespace busbar::bench {

/// What came of a load.
struct LoadOutcome {
  std::uint64_t sent = 0;
  std::uint64_t answered = 0;                 ///< Whole and 2xx.
  std::map<int, std::uint64_t> refused = {};  ///< By status, where it was no 2xx.
  std::uint64_t broken = 0;                   ///< Connections refused, reset, or ended in the middle of an answer.
  double slowest_due_s = 0;                   ///< When the request was due that took longest, from the start.
  std::uint64_t lost_idle = 0;                ///< Held connections that the other side closed.
  std::uint64_t events = 0;                   ///< Of streams.
  std::size_t most_open = 0;
  double open_s = 0;     ///< How long opening those that are held took.
  double seconds = 0;    ///< Of the load, to the last answer.
  Latencies total = {};  ///< From when a request was due to the end of its answer.
  Latencies first = {};  ///< From when it was due to the first byte of content.
  Latencies gap = {};    ///< Between the events of a stream.
  Latencies late = {};   ///< By how much we sent later than due: our own lateness is in `total` and shown here.
};

/// One thread, one epoll. An idle connection costs 8 bytes here, so that a million fit.
class LoadClient {
 public:
  LoadClient(const LoadOptions& options, std::vector<Arrival> arrivals);
  ~LoadClient();
  LoadClient(const LoadClient&) = delete;
  LoadClient& operator=(const LoadClient&) = delete;

  /// Opens what is to be held; then sends what is due until all is answered or `patience_s` has passed since the last
  /// was due. The error says which system call failed for a reason of this machine's (files, ports).
  Result<void> run();
  const LoadOutcome& outcome() const { return outcome_; }

 private:
  /// A request under way.
  struct Exchange {
    Arrival arrival = {};
    std::uint32_t connection = 0;
    std::string out = {};
    std::size_t written = 0;
    std::string head = {};  ///< Of the answer, until it is whole.
    bool is_head_done = false;
    bool is_connected = false;
    bool is_opening = false;  ///< The first one on a connection that is held: not of the load.
    bool keeps_alive = true;
    int status = 0;
    gateway::Framing framing = gateway::Framing::kNone;
    std::uint64_t left = 0;
    gateway::ChunkScanner chunks = {};
    std::int64_t first_ns = 0;
    std::int64_t event_ns = 0;
  };
  static constexpr std::uint32_t kNone = UINT32_MAX;

  std::int64_t now_ns() const;
  Result<void> hold_connections();
  Result<void> play_arrivals();
  Result<void> poll(std::int64_t until_ns);
  Result<std::uint32_t> open();
  Result<void> dispatch(const Arrival& arrival);
  void send_on(std::uint32_t connection, const Arrival& arrival, bool is_connected, bool is_opening);
  std::string request_text(const Arrival& arrival) const;
  void on_ready(std::uint32_t connection, std::uint32_t events);
  void write(Exchange& exchange);
  void read(std::uint32_t connection);
  /// False: the connection is of no more use.
  bool take(Exchange& exchange, std::string_view bytes);
  bool take_head(Exchange& exchange, std::string_view& bytes);
  bool take_body(Exchange& exchange, std::string_view bytes);
  void count_content(Exchange& exchange, std::string_view content);
  bool is_complete(const Exchange& exchange) const;
  void finish(std::uint32_t connection);
  void close(std::uint32_t connection, bool is_broken);

  const LoadOptions& options_;
  std::vector<Arrival> arrivals_;
  LoadOutcome outcome_ = {};
  os::UniqueFd epoll_ = {};
  std::int64_t begin_ns_ = 0;
  std::vector<int> fds_ = {};                  ///< By connection; -1: closed.
  std::vector<std::uint32_t> under_way_ = {};  ///< By connection: its exchange, or kNone.
  std::vector<std::unique_ptr<Exchange>> exchanges_ = {};
  std::vector<std::uint32_t> free_exchanges_ = {};
  std::vector<std::uint32_t> free_connections_ = {};  ///< Slots of closed ones.
  std::deque<std::uint32_t> idle_ = {};
  std::deque<Arrival> waiting_ = {};
  std::size_t open_ = 0;
  std::uint64_t opened_ever_ = 0;
  gateway::HeadParser parser_ = {};
  std::array<char, 65536> scratch_ = {};
};

}  // namespace busbar::bench

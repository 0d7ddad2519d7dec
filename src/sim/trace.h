#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/units.h"

namespace busbar::sim {

/// One job of a load: what a scheduler may know at its submission, and `work_ms`, which only the simulator and the
/// clairvoyant policies read.
struct TraceJob {
  TimeMs submit_ms = 0;      ///< Since the start of the load.
  std::int64_t work_ms = 0;  ///< Run time on all its cards, without interruption. At least 1.
  std::uint32_t nodes = 1;   ///< Tasks of the gang.
  std::int64_t milli_per_node = 1000;
  std::uint32_t queue = 0;  ///< Index into Trace::queues.
  std::uint32_t user = 0;   ///< Index into Trace::users.
  std::int32_t priority = 0;
  std::int64_t time_limit_ms = 0;  ///< 0: none.
  std::int64_t checkpoint_ms = 0;  ///< Between checkpoints; 0: not declared.
  std::string level = {};          ///< Required topology: "node", "leaf", "spine"; empty: none.
  std::int64_t cpus_milli = 0;     ///< Per task; 0: as the core takes it.
  std::int64_t memory_bytes = 0;   ///< Per task; 0: none.

  std::int64_t milli_cards() const { return milli_per_node * nodes; }
  friend bool operator==(const TraceJob&, const TraceJob&) = default;
};

/// A load: jobs in order of submission, the first at 0 ms. Job i has id i + 1 in the core.
struct Trace {
  std::string name = {};
  std::vector<TraceJob> jobs = {};
  std::vector<std::string> queues = {};
  std::vector<std::string> users = {};

  /// Index of the name, appended if it is new.
  std::uint32_t queue_index(std::string_view name);
  std::uint32_t user_index(std::string_view name);
};

/// Puts the jobs in order of submission (equal times keep their order) and moves the first to 0 ms.
void normalise(Trace& trace);

/// The load with every gang as tasks of one card that may stand anywhere: what count-only simulators assume.
Trace spread_over_cards(Trace trace);

enum class TraceFormat { kBusbar, kPhilly, kOpenb };
std::optional<TraceFormat> trace_format_from_name(std::string_view name);
/// By the columns of the head line.
std::optional<TraceFormat> guess_trace_format(std::string_view text);

/// Largest number of cards that one node has, for formats that give a job's cards but not its nodes.
struct ReadOptions {
  std::uint32_t cards_per_node = 8;
};

/// Reads a load; `name` stands in errors, which have kInvalidArgument and the line. docs/simulator.md has the formats.
/// Cost: one pass and a sort.
Result<Trace> read_trace(TraceFormat format, const std::string& name, std::string_view text,
                         const ReadOptions& options);

// One format each.
Result<Trace> read_own_trace(const std::string& name, std::string_view text);
Result<Trace> read_philly_trace(const std::string& name, std::string_view text, const ReadOptions& options);
Result<Trace> read_openb_trace(const std::string& name, std::string_view text);

}  // namespace busbar::sim

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "sim/mix.h"
#include "sim/trace.h"

/// The first byte chooses the format; one of them is the description of a made load. What is read is sane enough for a
/// run: sorted, with work and cards that add up.
/// run: sorted, with work and cards that add up.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using busbar::sim::TraceFormat;
  if (size == 0) {
    return 0;
  }
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  (void)busbar::sim::guess_trace_format(text);
  if (data[0] % 4 == 3) {
    const auto mix = busbar::sim::read_mix("fuzz", text);
    CHECK(mix || mix.error().code == busbar::ErrorCode::kInvalidArgument, "a bad mix has another error code");
    return 0;
  }
  const auto trace = busbar::sim::read_trace(static_cast<TraceFormat>(data[0] % 4), "fuzz", text, {});
  if (!trace) {
    CHECK(trace.error().code == busbar::ErrorCode::kInvalidArgument, "a bad load has another error code");
    return 0;
  }
  busbar::TimeMs last_ms = 0;
  for (const busbar::sim::TraceJob& job : trace->jobs) {
    CHECK(job.submit_ms >= last_ms, "jobs are not in order");
    CHECK(job.work_ms > 0 && job.nodes > 0 && job.milli_cards() >= 0, "a job without work or size");
    CHECK(job.queue < trace->queues.size() && job.user < trace->users.size(), "a job of no queue or user");
    last_ms = job.submit_ms;
  }
  return 0;
}

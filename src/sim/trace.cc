#include "sim/trace.h"

#include <algorithm>

#include "base/text.h"

namespace busbar::sim {
namespace {

std::uint32_t index_in(std::vector<std::string>& names, std::string_view name) {
  const auto found = std::ranges::find(names, name);
  if (found != names.end()) {
    return static_cast<std::uint32_t>(found - names.begin());
  }
  names.emplace_back(name);
  return static_cast<std::uint32_t>(names.size() - 1);
}

}  // namespace

std::uint32_t Trace::queue_index(std::string_view queue) {
  return index_in(queues, queue);
}
std::uint32_t Trace::user_index(std::string_view user) {
  return index_in(users, user);
}

void normalise(Trace& trace) {
  std::ranges::stable_sort(trace.jobs, {}, &TraceJob::submit_ms);
  const TimeMs first_ms = trace.jobs.empty() ? 0 : trace.jobs.front().submit_ms;
  for (TraceJob& job : trace.jobs) {
    job.submit_ms -= first_ms;
  }
}

Trace spread_over_cards(Trace trace) {
  for (TraceJob& job : trace.jobs) {
    const std::int64_t cards = job.milli_cards() / 1000;
    if (job.milli_per_node > 1000 && job.milli_per_node % 1000 == 0) {
      job.nodes = static_cast<std::uint32_t>(cards);
      job.milli_per_node = 1000;
    }
    job.level.clear();
  }
  return trace;
}

std::optional<TraceFormat> trace_format_from_name(std::string_view name) {
  if (name == "busbar") {
    return TraceFormat::kBusbar;
  }
  if (name == "philly") {
    return TraceFormat::kPhilly;
  }
  return name == "openb" ? std::optional(TraceFormat::kOpenb) : std::nullopt;
}

std::optional<TraceFormat> guess_trace_format(std::string_view text) {
  const std::string_view head = text.substr(0, text.find('\n'));
  const auto has = [&](std::string_view column) { return head.find(column) != std::string_view::npos; };
  if (has("submit_s") && has("duration_s")) {
    return TraceFormat::kBusbar;
  }
  if (has("timestamp") && has("num_gpus")) {
    return TraceFormat::kPhilly;
  }
  return has("gpu_milli") && has("creation_time") ? std::optional(TraceFormat::kOpenb) : std::nullopt;
}

Result<Trace> read_trace(TraceFormat format, const std::string& name, std::string_view text,
                         const ReadOptions& options) {
  switch (format) {
    case TraceFormat::kBusbar:
      return read_own_trace(name, text);
    case TraceFormat::kPhilly:
      return read_philly_trace(name, text, options);
    case TraceFormat::kOpenb:
      return read_openb_trace(name, text);
  }
  return make_error(ErrorCode::kInternal, "a format without a reader");
}

}  // namespace busbar::sim

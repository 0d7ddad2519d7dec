#include <chrono>

#include <fmt/format.h>

#include "base/text.h"
#include "sim/csv.h"
#include "sim/trace.h"

namespace busbar::sim {
namespace {

constexpr std::int64_t kMaxJobCards = 1'000'000;
constexpr std::int64_t kMaxDurationMs = std::int64_t{20} * 366 * 86'400'000;

/// "2017-10-09 07:01:55" as seconds since 1970, in whatever zone it was written.
std::optional<std::int64_t> parse_timestamp(std::string_view text) {
  constexpr std::string_view kShape = "dddd-dd-dd dd:dd:dd";
  if (text.size() != kShape.size()) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < kShape.size(); ++i) {
    const bool is_digit = text[i] >= '0' && text[i] <= '9';
    if (kShape[i] == 'd' ? !is_digit : text[i] != kShape[i]) {
      return std::nullopt;
    }
  }
  const auto number = [&](std::size_t at, std::size_t size) {
    return static_cast<int>(*parse_int(text.substr(at, size)));
  };
  const std::chrono::year_month_day day{std::chrono::year(number(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(number(8, 2)))};
  const int hour = number(11, 2);
  const int minute = number(14, 2);
  const int second = number(17, 2);
  if (!day.ok() || hour > 23 || minute > 59 || second > 60) {
    return std::nullopt;
  }
  const std::int64_t days = std::chrono::sys_days(day).time_since_epoch().count();
  return days * 86'400 + hour * 3600 + minute * 60 + second;
}

/// As few equal nodes as hold the cards.
std::uint32_t nodes_for(std::int64_t cards, std::uint32_t cards_per_node) {
  std::int64_t nodes = (cards + cards_per_node - 1) / cards_per_node;
  while (cards % nodes != 0) {
    ++nodes;
  }
  return static_cast<std::uint32_t>(nodes);
}

}  // namespace

Result<Trace> read_philly_trace(const std::string& name, std::string_view text, const ReadOptions& options) {
  TRY_ASSIGN(CsvReader csv, CsvReader::open(name, text));
  TRY_ASSIGN(const std::size_t timestamp, csv.column("timestamp"));
  TRY_ASSIGN(const std::size_t duration, csv.column("duration"));
  TRY_ASSIGN(const std::size_t num_gpus, csv.column("num_gpus"));
  TRY_ASSIGN(const std::size_t cluster, csv.column("cluster"));
  Trace trace{.name = name, .users = {"user"}};
  while (true) {
    TRY_ASSIGN(const bool has_row, csv.next());
    if (!has_row) {
      break;
    }
    const auto seconds = parse_timestamp(trim(csv.text(timestamp)));
    if (!seconds) {
      return csv.field_error(timestamp, "is no time like 2017-10-09 07:01:55");
    }
    TRY_ASSIGN(const std::int64_t work_ms, csv.thousandths(duration, 1, kMaxDurationMs));
    TRY_ASSIGN(const std::int64_t cards, csv.integer(num_gpus, 1, kMaxJobCards));
    const std::uint32_t nodes = nodes_for(cards, options.cards_per_node);
    trace.jobs.push_back({.submit_ms = *seconds * 1000,
                          .work_ms = work_ms,
                          .nodes = nodes,
                          .milli_per_node = cards / nodes * 1000,
                          .queue = trace.queue_index(trim(csv.text(cluster)))});
  }
  normalise(trace);
  return trace;
}

}  // namespace busbar::sim

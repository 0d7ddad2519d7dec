// Open-loop load on an HTTP service: requests are sent when they are due, not when the one before was answered, and
// their latency counts from then, so that a stall is seen by all who would have met it (no coordinated omission).
//   gateway_load 127.0.0.1:7780 --rate 5000 --seconds 10
//   gateway_load 127.0.0.1:7780 --model noise --stream --trace AzureLLMInferenceTrace_conv.csv.xz --speed 10
//   gateway_load 127.0.0.1:7780 --hold 100000 --sources 4 --rate 5000
#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "base/json.h"
#include "load_client.h"
#include "load_plan.h"

namespace {

using namespace busbar;
using namespace busbar::bench;

Json latencies_json(const Latencies& one) {
  return Json::object({{"count", one.count()},
                       {"mean_us", one.mean_us()},
                       {"p50_us", one.quantile_us(0.5)},
                       {"p90_us", one.quantile_us(0.9)},
                       {"p99_us", one.quantile_us(0.99)},
                       {"p999_us", one.quantile_us(0.999)},
                       {"max_us", one.most_us()}});
}

std::string latencies_text(std::string_view name, const Latencies& one) {
  return fmt::format("{:<14} mean {:.0f} us, p50 {:.0f}, p90 {:.0f}, p99 {:.0f}, p99.9 {:.0f}, most {:.0f}\n", name,
                     one.mean_us(), one.quantile_us(0.5), one.quantile_us(0.9), one.quantile_us(0.99),
                     one.quantile_us(0.999), one.most_us());
}

void print_json(const LoadOutcome& outcome) {
  Json refused = Json::object({});
  for (const auto& [status, count] : outcome.refused) refused.set(std::to_string(status), count);
  const Json result = Json::object({{"sent", outcome.sent},
                                    {"answered", outcome.answered},
                                    {"refused", refused},
                                    {"broken", outcome.broken},
                                    {"lost_idle", outcome.lost_idle},
                                    {"events", outcome.events},
                                    {"most_open", outcome.most_open},
                                    {"open_s", outcome.open_s},
                                    {"seconds", outcome.seconds},
                                    {"slowest_due_s", outcome.slowest_due_s},
                                    {"total", latencies_json(outcome.total)},
                                    {"first", latencies_json(outcome.first)},
                                    {"gap", latencies_json(outcome.gap)},
                                    {"late", latencies_json(outcome.late)}});
  fmt::print("{}\n", result.dump());
}

void print_text(const LoadOptions& options, const LoadOutcome& outcome) {
  fmt::print("{} sent in {:.1f} s, {} answered, {} broken", outcome.sent, outcome.seconds, outcome.answered,
             outcome.broken);
  for (const auto& [status, count] : outcome.refused) fmt::print(", {} with status {}", count, status);
  fmt::print("; at most {} connections\n", outcome.most_open);
  if (options.hold > 0)
    fmt::print("{} held, opened in {:.1f} s, {} lost\n", options.hold, outcome.open_s, outcome.lost_idle);
  fmt::print("{}", latencies_text("whole answer", outcome.total));
  if (options.is_stream) {
    fmt::print("{}{}", latencies_text("first content", outcome.first), latencies_text("between events", outcome.gap));
  }
  fmt::print("{}", latencies_text("sent late by", outcome.late));
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = parse_load_options(argc, argv);
  if (!options) {
    const bool is_help = options.error().code == ErrorCode::kCancelled;
    fmt::print(is_help ? stdout : stderr, "{}{}\n", is_help ? "" : "gateway_load: ", options.error().message);
    return is_help ? 0 : 2;
  }
  auto arrivals = plan_arrivals(*options);
  if (!arrivals) {
    fmt::print(stderr, "gateway_load: {}\n", arrivals.error().to_string());
    return 2;
  }
  LoadClient client(*options, *std::move(arrivals));
  const auto done = client.run();
  if (!done) {
    fmt::print(stderr, "gateway_load: {}\n", done.error().to_string());
    return 1;
  }
  if (options->is_json) {
    print_json(client.outcome());
  } else {
    print_text(*options, client.outcome());
  }
  if (options->waits_for_start) {
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
  }
  return client.outcome().broken == 0 && client.outcome().refused.empty() ? 0 : 1;
}

#include "load_plan.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/hash.h"
#include "os/files.h"
#include "os/xz.h"

namespace busbar::bench {
namespace {

constexpr std::size_t kMaxTraceBytes = std::size_t{1} << 30;
constexpr double kSecondNs = 1e9;

// "2023-11-16 18:15:46.6805900" as nanoseconds of its day; a trace that passes midnight goes on.
std::optional<std::int64_t> time_of_day_ns(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  text.remove_prefix(space + 1);
  int hours = 0;
  int minutes = 0;
  double seconds = 0;
  const char* const end = text.data() + text.size();
  auto read = std::from_chars(text.data(), end, hours);
  if (read.ec != std::errc() || read.ptr == end || *read.ptr != ':') return std::nullopt;
  read = std::from_chars(read.ptr + 1, end, minutes);
  if (read.ec != std::errc() || read.ptr == end || *read.ptr != ':') return std::nullopt;
  read = std::from_chars(read.ptr + 1, end, seconds);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return static_cast<std::int64_t>((hours * 3600 + minutes * 60 + seconds) * kSecondNs);
}

std::optional<Arrival> parse_line(std::string_view line) {
  const std::size_t first = line.find(',');
  const std::size_t second = line.find(',', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return std::nullopt;
  const auto time = time_of_day_ns(line.substr(0, first));
  Arrival arrival;
  const char* const middle = line.data() + second;
  const char* const end = line.data() + line.size();
  if (!time || std::from_chars(line.data() + first + 1, middle, arrival.prompt_tokens).ptr != middle ||
      std::from_chars(middle + 1, end, arrival.output_tokens).ptr != end) {
    return std::nullopt;
  }
  arrival.due_ns = *time;
  return arrival;
}

Result<std::vector<Arrival>> read_trace(const LoadOptions& options) {
  Result<std::string> text = os::read_file(options.trace_file, kMaxTraceBytes);
  if (text && os::is_xz(*text)) text = os::unpack_xz(*text, kMaxTraceBytes);
  if (!text) return tl::unexpected(text.error());
  std::vector<Arrival> arrivals;
  std::int64_t begin_ns = 0;
  std::int64_t last_ns = 0;
  std::int64_t midnight_ns = 0;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    std::string_view line = std::string_view(*text).substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (++number == 1 || line.empty()) continue;
    auto arrival = parse_line(line);
    if (!arrival) {
      return make_error(
          ErrorCode::kInvalidArgument,
          fmt::format("{}:{}: wanted TIMESTAMP,ContextTokens,GeneratedTokens", options.trace_file, number));
    }
    if (arrivals.empty()) begin_ns = arrival->due_ns;
    if (arrival->due_ns + midnight_ns < last_ns) midnight_ns += static_cast<std::int64_t>(86'400 * kSecondNs);
    last_ns = arrival->due_ns + midnight_ns;
    arrival->due_ns = static_cast<std::int64_t>(static_cast<double>(last_ns - begin_ns) / options.speed);
    if (static_cast<double>(arrival->due_ns) > options.seconds * kSecondNs) break;
    arrivals.push_back(*arrival);
  }
  return arrivals;
}

std::vector<Arrival> draw_arrivals(const LoadOptions& options) {
  std::vector<Arrival> arrivals;
  std::uint64_t state = options.seed;
  double due_s = 0;
  while (due_s < options.seconds) {
    arrivals.push_back(
        {.due_ns = static_cast<std::int64_t>(due_s * kSecondNs), .prompt_tokens = 32, .output_tokens = options.tokens});
    state = mix64(state + 1);
    // Exponential distances by inversion; the draw is never 0.
    const double draw = (static_cast<double>(state >> 11) + 0.5) / static_cast<double>(std::uint64_t{1} << 53);
    due_s += (options.is_even ? 1.0 : -std::log(draw)) / options.rate;
  }
  return arrivals;
}

}  // namespace

Result<LoadOptions> parse_load_options(int argc, const char* const* argv) {
  LoadOptions options;
  std::string target;
  CLI::App app("Open-loop load: a request is sent when it is due, and measured from when it was due.");
  app.add_option("target", target, "HOST:PORT, an IPv4 address")->required();
  app.add_option("--path", options.path, "what to GET, or to POST with --body or --model");
  app.add_option("--host", options.host_header, "value of the Host field");
  app.add_option("--model", options.model, "POST chat completions for this model");
  app.add_flag("--stream", options.is_stream, "ask for the completion as a stream of events");
  app.add_option("--tokens", options.tokens, "of an answer, without a trace");
  app.add_option("--body", options.body_bytes, "POST of so many bytes");
  app.add_option("--trace", options.trace_file, "when and how large: TIMESTAMP,ContextTokens,GeneratedTokens");
  app.add_option("--speed", options.speed, "plays the trace so many times as fast")->check(CLI::PositiveNumber);
  app.add_option("--rate", options.rate, "requests a second, without a trace")->check(CLI::PositiveNumber);
  app.add_flag("--even", options.is_even, "equal distances instead of a Poisson process");
  app.add_option("--seconds", options.seconds, "how long requests are due")->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "of the arrivals");
  app.add_option("--connections", options.connections, "at most so many at once")->check(CLI::Range(1, 1'000'000));
  app.add_option("--hold", options.hold, "open so many first, each with one request, and keep them");
  app.add_option("--sources", options.sources, "source addresses in a row")->check(CLI::Range(1, 200));
  app.add_option("--first-source", options.first_source, "127.0.0.N")->check(CLI::Range(1, 254));
  app.add_flag("--wait", options.waits_for_start,
               "when what is held is open: \"ready\" on stderr, then waits for a line; after the result it "
               "keeps what it holds until its stdin ends");
  app.add_flag("--json", options.is_json, "the result as JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return make_error(ErrorCode::kCancelled, app.help());
  } catch (const CLI::ParseError& error) {
    return make_error(ErrorCode::kInvalidArgument, error.what());
  }
  const std::size_t colon = target.rfind(':');
  const char* const end = target.data() + target.size();
  if (colon == std::string::npos || std::from_chars(target.data() + colon + 1, end, options.port).ptr != end) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not HOST:PORT", target));
  }
  options.host = target.substr(0, colon);
  if (options.host_header.empty()) options.host_header = target;
  return options;
}

Result<std::vector<Arrival>> plan_arrivals(const LoadOptions& options) {
  return options.trace_file.empty() ? draw_arrivals(options) : read_trace(options);
}

}  // namespace busbar::bench

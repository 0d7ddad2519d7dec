#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace busbar::bench {

/// When a request is due, whatever became of those before it, and its size.
struct Arrival {
  std::int64_t due_ns = 0;  ///< From the start of the load.
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0;
};

struct LoadOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::string path = "/";
  std::string host_header = "";  ///< "": host and port.
  std::string model = "";        ///< Not "": POST of a chat completion for it, else GET.
  bool is_stream = false;
  std::uint32_t tokens = 64;   ///< Of an answer, without a trace.
  std::size_t body_bytes = 0;  ///< Not 0: POST of so many bytes.

  std::string trace_file = "";  ///< CSV, also as .xz: TIMESTAMP,ContextTokens,GeneratedTokens
  double speed = 1;             ///< Of the trace.
  double rate = 1000;           ///< Requests a second, without a trace.
  bool is_even = false;         ///< Equal distances instead of a Poisson process.
  double seconds = 10;
  std::uint64_t seed = 1;

  std::size_t connections = 1000;  ///< At most so many at once; more requests wait, and their wait counts.
  std::size_t hold = 0;            ///< Not 0: so many connections are opened first, each served once, and stay open.
  std::uint32_t sources = 1;       ///< Addresses that they come from: a source has 64 k ports.
  std::uint32_t first_source = 2;  ///< 127.0.0.N
  /// After opening: says "ready" on stderr and waits for a line on stdin; after the result, for the end of stdin, so
  /// that no process closes what it holds while others of the same run still measure.
  bool waits_for_start = false;
  bool is_json = false;
};

/// Reads flags; the error says what is wrong with which.
Result<LoadOptions> parse_load_options(int argc, const char* const* argv);

/// All arrivals of the load, in order of their time.
Result<std::vector<Arrival>> plan_arrivals(const LoadOptions& options);

}  // namespace busbar::bench

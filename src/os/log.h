#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"

namespace busbar::os {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

enum class LogFormat {
  kAuto,  ///< Text on a terminal, else JSON.
  kJson,  ///< {"time":"2026-01-02T03:04:05.678Z","level":"info","event":"job_placed","job":"17"}
  kText,  ///< 03:04:05.678 info job_placed job=17
};

struct LogConfig {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kAuto;
  std::string file = {};  ///< Appended to; empty: standard error.
};

/// The process's log. One line an event: a fixed name (snake_case, no values in it) and fields. Before configure_log it
/// goes to standard error at kInfo. Fields whose key ends in a secret's word (api_token, password, authorization,
/// cookie, private_key) are written as "***"; never log one under another name. Thread-safe; a line is never torn.
Result<void> configure_log(const LogConfig& config);

void set_log_level(LogLevel level);
/// Opens the file again by its name, after a log rotator moved it.
Result<void> reopen_log();

bool is_log_enabled(LogLevel level);
/// Use LOG. A failure to write (a full disk) is counted, not reported: see lost_log_lines.
void write_log(LogLevel level, std::string_view event, const Json::Object& fields = {});
/// Lines that could not be written since the process started; a metric.
std::uint64_t lost_log_lines();

/// "debug", "info", "warning", "error", "off".
std::string_view log_level_name(LogLevel level);
Result<LogLevel> parse_log_level(std::string_view name);

}  // namespace busbar::os

/// LOG(kInfo, "job_placed", {{"job", "17"}, {"nodes", 2}}); the fields are not evaluated when the level is off.
#define LOG(level, ...)                                                    \
  do {                                                                     \
    if (::busbar::os::is_log_enabled(::busbar::os::LogLevel::level)) {     \
      ::busbar::os::write_log(::busbar::os::LogLevel::level, __VA_ARGS__); \
    }                                                                      \
  } while (false)

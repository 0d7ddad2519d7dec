#include "os/log.h"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>

#include "base/text.h"
#include "base/units.h"
#include "os/system_clock.h"

namespace busbar::os {
namespace {

constexpr std::array<std::string_view, 5> kLevelNames{"debug", "info", "warning", "error", "off"};
constexpr std::array<std::string_view, 8> kSecretWords{"token",  "secret",        "secrets", "password",
                                                       "passwd", "authorization", "cookie",  "private_key"};

/// spdlog gives the sinks: locked writes of whole lines, and files that are made with their directories. Formatting is
/// ours, so that fields stay fields.
struct Output {
  std::shared_ptr<spdlog::sinks::sink> sink;
  bool is_json = true;
};

std::shared_ptr<const Output> make_output(const LogConfig& config) {
  auto output = std::make_shared<Output>();
  if (config.file.empty()) {
    output->sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    output->sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(config.file);
  }
  output->sink->set_pattern("%v");
  const bool is_terminal = config.file.empty() && isatty(STDERR_FILENO) == 1;
  output->is_json = config.format == LogFormat::kJson || (config.format == LogFormat::kAuto && !is_terminal);
  return output;
}

/// A log has to be there from the first line to the last of a process, so this is the one global of the product. It is
/// never destroyed: threads that end late may still log.
struct Log {
  std::mutex mutex;  ///< Guards `config` and `output`, not the writing.
  LogConfig config;
  std::shared_ptr<const Output> output = make_output({});
  std::atomic<LogLevel> level{LogLevel::kInfo};
  std::atomic<std::uint64_t> lost_lines{0};
};

Log& the_log() {
  static Log* const log = new Log;
  return *log;
}

Result<void> replace_output(const LogConfig& config) {
  Log& log = the_log();
  try {
    auto output = make_output(config);
    const std::lock_guard lock(log.mutex);
    log.config = config;
    log.output = std::move(output);
    return {};
  } catch (const std::exception& failure) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("cannot open log file {}", config.file), failure.what());
  }
}

/// The key's last word decides: "api_token" is secret, "tokens_per_second" and "token_file" are not.
bool is_secret(std::string_view key) {
  const std::string lowered = to_lower(key);
  return std::any_of(kSecretWords.begin(), kSecretWords.end(), [&](std::string_view word) {
    return lowered.ends_with(word) &&
           (lowered.size() == word.size() || lowered[lowered.size() - word.size() - 1] == '_');
  });
}

const Json& shown_value(const Json::Member& field) {
  static const Json* const hidden = new Json("***");
  return is_secret(field.first) ? *hidden : field.second;
}

std::string json_line(std::string_view time, LogLevel level, std::string_view event, const Json::Object& fields) {
  Json::Object line{{"time", time}, {"level", log_level_name(level)}, {"event", event}};
  for (const Json::Member& field : fields) {
    line.emplace_back(field.first, shown_value(field));
  }
  return Json::object(std::move(line)).dump();
}

std::string text_line(std::string_view time, LogLevel level, std::string_view event, const Json::Object& fields) {
  // RFC 3339's time of day: after "2026-01-02T", before "Z".
  std::string line = fmt::format("{} {} {}", time.substr(11, 12), log_level_name(level), event);
  for (const Json::Member& field : fields) {
    const Json& value = shown_value(field);
    const std::string& text = value.as_string();
    const bool is_plain =
        value.is_string() && !text.empty() && is_valid_utf8(text) && std::none_of(text.begin(), text.end(), [](char c) {
          return static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '=' || c == 0x7f;
        });
    line += fmt::format(" {}={}", field.first, is_plain ? text : value.dump());
  }
  return line;
}

}  // namespace

Result<void> configure_log(const LogConfig& config) {
  TRY(replace_output(config));
  set_log_level(config.level);
  return {};
}

void set_log_level(LogLevel level) {
  the_log().level.store(level, std::memory_order_relaxed);
}

Result<void> reopen_log() {
  LogConfig config;
  {
    const std::lock_guard lock(the_log().mutex);
    config = the_log().config;
  }
  return replace_output(config);
}

bool is_log_enabled(LogLevel level) {
  return level != LogLevel::kOff && level >= the_log().level.load(std::memory_order_relaxed);
}

void write_log(LogLevel level, std::string_view event, const Json::Object& fields) {
  Log& log = the_log();
  std::shared_ptr<const Output> output;
  {
    const std::lock_guard lock(log.mutex);
    output = log.output;
  }
  const std::string time = format_time(SystemClock().now_ms());
  const std::string line =
      output->is_json ? json_line(time, level, event, fields) : text_line(time, level, event, fields);
  try {
    output->sink->log(spdlog::details::log_msg("", spdlog::level::info, line));
    output->sink->flush();
  } catch (const std::exception&) {
    log.lost_lines.fetch_add(1, std::memory_order_relaxed);
  }
}

std::uint64_t lost_log_lines() {
  return the_log().lost_lines.load(std::memory_order_relaxed);
}

std::string_view log_level_name(LogLevel level) {
  return kLevelNames.at(static_cast<std::size_t>(level));
}

Result<LogLevel> parse_log_level(std::string_view name) {
  const auto found = std::find(kLevelNames.begin(), kLevelNames.end(), name);
  if (found == kLevelNames.end()) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("\"{}\" is not a log level; use debug, info, warning, error or off", name));
  }
  return static_cast<LogLevel>(found - kLevelNames.begin());
}

}  // namespace busbar::os

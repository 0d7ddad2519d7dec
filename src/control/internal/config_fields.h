#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "control/config.h"

namespace busbar::control {

enum class ConfigType {
  kText,
  kPath,  ///< Absolute.
  kChoice,
  kInteger,
  kSize,      ///< Bytes; "16MiB".
  kDuration,  ///< Milliseconds; "10s".
  kList,
};

/// One key: its text form, its limits, its doc and where it goes. The defaults are ServerConfig's own.
struct ConfigField {
  std::string_view key;
  ConfigType type = ConfigType::kText;
  std::string_view doc;
  std::variant<std::string ServerConfig::*, std::int64_t ServerConfig::*, std::vector<std::string> ServerConfig::*>
      member;
  std::int64_t min = 0;  ///< Of numbers, sizes and durations.
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
  std::vector<std::string_view> choices = {};
  std::string_view default_doc = {};  ///< Where the default is not a constant.
};

/// In the order of the documentation.
std::span<const ConfigField> config_fields();
/// Those of them that make the scheduler's policy; the last ones.
std::vector<ConfigField> scheduling_fields();

inline constexpr std::int64_t kDayMs = 86'400'000;
const ConfigField* find_config_field(std::string_view key);
/// "unknown key \"prot\"; did you mean port?"
std::string unknown_key_message(std::string_view key);

/// "size", "duration" ... for messages and the reference.
std::string type_name(const ConfigField& field);
/// "BUSBAR_PORT"
std::string variable_name(const ConfigField& field);

/// Reads one value as flags, environment and TOML strings give it. The error says what was expected.
Result<void> set_config_value(ServerConfig& config, const ConfigField& field, std::string_view text);
Result<void> set_config_integer(ServerConfig& config, const ConfigField& field, std::int64_t value);
Result<void> set_config_list(ServerConfig& config, const ConfigField& field, std::vector<std::string> values);

/// "listen", short for listen_address and port in one text: "127.0.0.1:7717", "[::1]:0", "10.0.0.1".
inline constexpr std::string_view kListenKey = "listen";
Result<void> set_config_listen(ServerConfig& config, std::string_view text);

/// As TOML: `"10s"`, `7717`, `["a"]`.
std::string config_value_to_toml(const ServerConfig& config, const ConfigField& field);
/// Numbers, texts and lists of texts; sizes and durations as the texts that TOML holds.
Json config_value_to_json(const ServerConfig& config, const ConfigField& field);
std::string toml_quote(std::string_view text);

}  // namespace busbar::control

#include "control/internal/config_fields.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "base/units.h"

namespace busbar::control {
namespace {

using Config = ServerConfig;
constexpr std::int64_t kKib = 1 << 10;
constexpr std::int64_t kMib = 1 << 20;
constexpr std::int64_t kGib = 1 << 30;

std::vector<ConfigField> make_fields() {
  using enum ConfigType;
  return {
      {.key = "listen_address",
       .type = kText,
       .doc =
           "IP address or \"localhost\" to listen on. Beyond loopback a token is required, and traffic is plain HTTP: "
           "put a TLS proxy in front.",
       .member = &Config::listen_address},
      {.key = "port",
       .type = kInteger,
       .doc = "TCP port; 0 lets the kernel pick one, which clients on this machine find in `server.json`.",
       .member = &Config::port,
       .max = 65'535},
      {.key = "allowed_hosts",
       .type = kList,
       .doc = "Names that requests may give in `Host`. Empty: on loopback only loopback names (which stops web pages "
              "that rebind their DNS name), elsewhere any.",
       .member = &Config::allowed_hosts},
      {.key = "auth",
       .type = kChoice,
       .doc = "`token`: every request needs a bearer token, see `state_dir`/token. `none`: whoever can connect is the "
              "administrator; refused unless `listen_address` is loopback.",
       .member = &Config::auth,
       .choices = {"token", "none"}},
      {.key = "max_body",
       .type = kSize,
       .doc = "Longest body of a request.",
       .member = &Config::max_body_bytes,
       .min = 64 * kKib,
       .max = kGib},
      {.key = "api_threads",
       .type = kInteger,
       .doc = "Threads that read requests and write answers; one serves some 50,000 requests a second.",
       .member = &Config::api_threads,
       .min = 1,
       .max = 64},
      {.key = "shutdown_grace",
       .type = kDuration,
       .doc = "How long a stopping server lets running requests finish.",
       .member = &Config::shutdown_grace_ms,
       .max = kDayMs},
      {.key = "state_dir",
       .type = kPath,
       .doc = "Database, token, keys, logs of jobs. One server at a time; local disk.",
       .member = &Config::state_dir,
       .default_doc = "`/var/lib/busbar` for root, else `$XDG_STATE_HOME/busbar` or `~/.local/state/busbar`"},
      {.key = "run_dir",
       .type = kPath,
       .doc = "Sockets and pid files, gone after a reboot.",
       .member = &Config::run_dir,
       .default_doc = "`/run/busbar` for root with the default `state_dir`, else `state_dir`/run"},
      {.key = "oci_cache_dir",
       .type = kPath,
       .doc = "Unpacked layers of OCI images.",
       .member = &Config::oci_cache_dir,
       .default_doc = "`state_dir`/oci"},
      {.key = "synchronous",
       .type = kChoice,
       .doc = "`full`: what was answered survives a loss of power. `normal`: it survives a crash of the server, not "
              "always "
              "one of the machine, and commits are several times faster.",
       .member = &Config::synchronous,
       .choices = {"full", "normal"}},
      {.key = "snapshot_every_steps",
       .type = kInteger,
       .doc = "Steps of the scheduler between snapshots of its state, at least; not before the journal since is as "
              "large as the snapshot. Fewer make restarts shorter.",
       .member = &Config::snapshot_every_steps,
       .min = 1,
       .max = 1'000'000},
      {.key = "gateway",
       .type = kText,
       .doc = "HOST:PORT at which the gateway of services listens that `busbar up` starts; `off`: none.",
       .member = &Config::gateway},
      {.key = "gateway_tls",
       .type = kText,
       .doc = "HOST:PORT at which that gateway speaks TLS; empty: port 7743 of the same host, if it has a certificate.",
       .member = &Config::gateway_tls},
      {.key = "gateway_tls_cert",
       .type = kList,
       .doc = "Files of its certificates with their chains (PEM); several: by the name that a client asks for.",
       .member = &Config::gateway_tls_cert},
      {.key = "gateway_tls_key",
       .type = kList,
       .doc = "Files of their keys, in the same order; none: the keys are in the certificates' files.",
       .member = &Config::gateway_tls_key},
      {.key = "log_level",
       .type = kChoice,
       .doc = "Least level of the server's own log.",
       .member = &Config::log_level,
       .choices = {"debug", "info", "warning", "error", "off"}},
      {.key = "log_format",
       .type = kChoice,
       .doc = "`auto`: text on a terminal, JSON elsewhere.",
       .member = &Config::log_format,
       .choices = {"auto", "json", "text"}},
      {.key = "log_file",
       .type = kPath,
       .doc = "File that the server's own log is appended to; empty: standard error.",
       .member = &Config::log_file},
      {.key = "runtime",
       .type = kText,
       .doc = "OCI runtime: `runc`, `crun`, or a path. Empty: whichever works here, tried at start.",
       .member = &Config::runtime},
      {.key = "conmon", .type = kPath, .doc = "Path of conmon; empty: from PATH.", .member = &Config::conmon},
      {.key = "helper_dir",
       .type = kPath,
       .doc = "Where `busbar-rsh` and the Python SDK lie, which tasks see in /run/busbar.",
       .member = &Config::helper_dir,
       .default_doc = "beside the program"},
      {.key = "node_name",
       .type = kText,
       .doc = "Name of this machine as a node; empty: the host's name.",
       .member = &Config::node_name},
      {.key = "cpu_cards",
       .type = kInteger,
       .doc = "Cards of the chip `cpu` that this machine offers; 0: one per core it may use.",
       .member = &Config::cpu_cards,
       .max = 4'096},
      {.key = "chips_dir",
       .type = kPath,
       .doc = "Folder of the site's own chip catalogue files (`*.yaml`), which add models or correct them "
              "(docs/chips.md).",
       .member = &Config::chips_dir},
      {.key = "topology_file",
       .type = kPath,
       .doc =
           "The operator's word on this machine's cards: which chip an ambiguous one is, which have fast links; need "
           "not exist (docs/chips.md).",
       .member = &Config::topology_file},
      {.key = "device_root",
       .type = kPath,
       .doc = "Where `sys`, `proc`, `dev` and `etc` are looked at to find cards.",
       .member = &Config::device_root},
      {.key = "nvml_library",
       .type = kText,
       .doc = "NVIDIA's management library; empty: `libnvidia-ml.so.1` if there is an NVIDIA card; `none`: never.",
       .member = &Config::nvml_library},
      {.key = "probe_period",
       .type = kDuration,
       .doc = "How often the cards are looked at again, for what appears, vanishes or fails; 0: only at the start.",
       .member = &Config::probe_period_ms,
       .max = 3'600'000},
      {.key = "masked_paths",
       .type = kList,
       .doc =
           "Paths hidden from tasks with `image: host`, besides `state_dir`, `run_dir`, /root, /run, /etc/shadow and "
           "ssh keys.",
       .member = &Config::masked_paths},
      {.key = "log_max_size",
       .type = kSize,
       .doc = "Size at which a task's log file is rotated.",
       .member = &Config::log_max_bytes,
       .min = 64 * kKib,
       .max = 1'024 * kGib},
      {.key = "log_files",
       .type = kInteger,
       .doc = "Log files kept per task, the one being written included.",
       .member = &Config::log_files,
       .min = 1,
       .max = 100},
      {.key = "keep_ended_jobs",
       .type = kInteger,
       .doc = "Of how many jobs that are over the logs and files stay; 0: of all. The jobs' records stay in any case.",
       .member = &Config::keep_ended_jobs,
       .max = 10'000'000},
      {.key = "keep_ended_age",
       .type = kDuration,
       .doc = "How long after a job's end its logs and files stay; 0: for ever.",
       .member = &Config::keep_ended_age_ms,
       .max = 36'500 * kDayMs},
      {.key = "keep_ended_size",
       .type = kSize,
       .doc = "How much room logs and files of ended jobs may take together; the oldest go first, those of the job "
              "that ended last stay. 0: no limit.",
       .member = &Config::keep_ended_bytes,
       .max = 1'024 * 1'024 * kGib},
      {.key = "service_scale_down_after",
       .type = kDuration,
       .doc = "How long fewer replicas must have been enough before a service is given fewer.",
       .member = &Config::service_scale_down_after_ms,
       .min = 100,
       .max = kDayMs},
      {.key = "gateway_url",
       .doc = "Where the gateway is for clients of services; shown by `busbar serve`.",
       .member = &Config::gateway_url},
  };
}

Error out_of_range(const ConfigField& field, std::string_view given) {
  const auto limit = [&field](std::int64_t value) {
    return field.type == ConfigType::kSize       ? format_bytes({value})
           : field.type == ConfigType::kDuration ? format_duration_ms(value)
                                                 : std::to_string(value);
  };
  return {.code = ErrorCode::kInvalidArgument,
          .message = fmt::format("{} is {}, outside {} to {}", field.key, given, limit(field.min), limit(field.max))};
}

bool is_ipv6_address(std::string_view text) {
  in6_addr address{};
  return ::inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

Error wrong_type(const ConfigField& field, std::string_view given) {
  return {.code = ErrorCode::kInvalidArgument,
          .message = fmt::format("{} must be {}, not {}", field.key, type_name(field), given)};
}

/// The numbers that a text stands for, in the unit of the member.
Result<std::int64_t> number_of(const ConfigField& field, std::string_view text) {
  if (field.type == ConfigType::kSize) {
    TRY_ASSIGN(const Bytes bytes, parse_bytes(text));
    return bytes.value;
  }
  if (field.type == ConfigType::kDuration) {
    return parse_duration_ms(text);
  }
  const auto number = parse_int(text);
  if (!number) {
    return make_error(ErrorCode::kInvalidArgument, "not a whole number");
  }
  return *number;
}

Result<void> check_text(const ConfigField& field, std::string_view text) {
  if (field.type == ConfigType::kChoice &&
      std::find(field.choices.begin(), field.choices.end(), text) == field.choices.end()) {
    return tl::unexpected(wrong_type(field, toml_quote(text)));
  }
  if (field.type == ConfigType::kPath && !text.empty() && !text.starts_with('/')) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} must be an absolute path, not {}", field.key, toml_quote(text)));
  }
  if (text.find('\0') != std::string_view::npos) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("{} holds a NUL character", field.key));
  }
  return {};
}

}  // namespace

std::span<const ConfigField> config_fields() {
  static const std::vector<ConfigField> kFields = [] {
    std::vector<ConfigField> fields = make_fields();
    const std::vector<ConfigField> more = scheduling_fields();
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
  }();
  return kFields;
}

const ConfigField* find_config_field(std::string_view key) {
  const auto fields = config_fields();
  const auto found = std::find_if(fields.begin(), fields.end(), [key](const ConfigField& f) { return f.key == key; });
  return found == fields.end() ? nullptr : &*found;
}

std::string unknown_key_message(std::string_view key) {
  std::vector<std::string> names = {"queues", std::string(kListenKey)};
  for (const ConfigField& field : config_fields()) {
    names.emplace_back(field.key);
  }
  const auto near = nearest_name(key, names);
  return near ? fmt::format("unknown key {}; did you mean {}?", toml_quote(key), *near)
              : fmt::format("unknown key {}; docs/configuration.md lists all keys", toml_quote(key));
}

std::string type_name(const ConfigField& field) {
  switch (field.type) {
    case ConfigType::kText:
      return "text";
    case ConfigType::kPath:
      return "an absolute path";
    case ConfigType::kChoice:
      return fmt::format("{}", fmt::join(field.choices, " or "));
    case ConfigType::kInteger:
      return "a whole number";
    case ConfigType::kSize:
      return "a size such as \"16MiB\"";
    case ConfigType::kDuration:
      return "a duration such as \"10s\"";
    case ConfigType::kList:
      return "a list of texts";
  }
  return {};
}

std::string variable_name(const ConfigField& field) {
  std::string name = "BUSBAR_";
  for (const char c : field.key) {
    name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return name;
}

Result<void> set_config_value(ServerConfig& config, const ConfigField& field, std::string_view text) {
  if (const auto* member = std::get_if<std::string ServerConfig::*>(&field.member)) {
    TRY(check_text(field, text));
    config.** member = text;
    return {};
  }
  if (field.type == ConfigType::kList) {
    std::vector<std::string> values;
    for (const std::string_view part : split(text, ',')) {
      if (!trim(part).empty()) {
        values.emplace_back(trim(part));
      }
    }
    return set_config_list(config, field, std::move(values));
  }
  const auto number = number_of(field, trim(text));
  if (!number) {
    return tl::unexpected(wrong_type(field, toml_quote(text)));
  }
  if (*number < field.min || *number > field.max) {
    return tl::unexpected(out_of_range(field, text));
  }
  config.*std::get<std::int64_t ServerConfig::*>(field.member) = *number;
  return {};
}

Result<void> set_config_listen(ServerConfig& config, std::string_view text) {
  text = trim(text);
  const bool is_bracketed = text.starts_with('[');
  const std::size_t colon = text.rfind(':');
  // Without brackets, more than one colon is an IPv6 address and no port.
  const bool has_port = colon != std::string_view::npos &&
                        (is_bracketed ? text.substr(0, colon).ends_with(']') : text.find(':') == colon);
  std::string_view address = has_port ? text.substr(0, colon) : text;
  if (is_bracketed && address.ends_with(']')) {
    address = address.substr(1, address.size() - 2);
  }
  if ((is_bracketed || address.find(':') != std::string_view::npos) && !is_ipv6_address(address)) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("listen must be ADDRESS:PORT such as \"127.0.0.1:7717\" or \"[::1]:7717\", not {}",
                                  toml_quote(text)));
  }
  TRY(set_config_value(config, *find_config_field("listen_address"), address));
  return has_port ? set_config_value(config, *find_config_field("port"), text.substr(colon + 1)) : Result<void>{};
}

Result<void> set_config_integer(ServerConfig& config, const ConfigField& field, std::int64_t value) {
  if (!std::holds_alternative<std::int64_t ServerConfig::*>(field.member)) {
    return tl::unexpected(wrong_type(field, fmt::format("the number {}", value)));
  }
  // A bare number is bytes or seconds, as in job files.
  return set_config_value(config, field, std::to_string(value));
}

Result<void> set_config_list(ServerConfig& config, const ConfigField& field, std::vector<std::string> values) {
  const auto* member = std::get_if<std::vector<std::string> ServerConfig::*>(&field.member);
  if (member == nullptr) {
    return tl::unexpected(wrong_type(field, "a list"));
  }
  config.** member = std::move(values);
  return {};
}

std::string toml_quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

Json config_value_to_json(const ServerConfig& config, const ConfigField& field) {
  if (const auto* text = std::get_if<std::string ServerConfig::*>(&field.member)) {
    return config.**text;
  }
  if (const auto* list = std::get_if<std::vector<std::string> ServerConfig::*>(&field.member)) {
    Json items = Json::array();
    for (const std::string& item : config.**list) {
      items.push(item);
    }
    return items;
  }
  const std::string text = config_value_to_toml(config, field);
  return text.starts_with('"') ? Json(text.substr(1, text.size() - 2))
                               : Json(config.*std::get<std::int64_t ServerConfig::*>(field.member));
}

std::string config_value_to_toml(const ServerConfig& config, const ConfigField& field) {
  if (const auto* text = std::get_if<std::string ServerConfig::*>(&field.member)) {
    return toml_quote(config.**text);
  }
  if (const auto* list = std::get_if<std::vector<std::string> ServerConfig::*>(&field.member)) {
    std::vector<std::string> quoted;
    std::transform((config.**list).begin(), (config.**list).end(), std::back_inserter(quoted), toml_quote);
    return "[" + join(quoted, ", ") + "]";
  }
  const std::int64_t number = config.*std::get<std::int64_t ServerConfig::*>(field.member);
  if (field.type == ConfigType::kDuration) {
    if (number > 0 && number % kDayMs == 0) return fmt::format("\"{}d\"", number / kDayMs);
    return number % 1'000 == 0 ? fmt::format("\"{}s\"", number / 1'000) : fmt::format("\"{}ms\"", number);
  }
  if (field.type == ConfigType::kSize) {
    // The pretty form only where it is exact.
    const std::string pretty = format_bytes({number});
    const auto back = parse_bytes(pretty);
    return back && back->value == number ? toml_quote(pretty) : std::to_string(number);
  }
  return std::to_string(number);
}

}  // namespace busbar::control

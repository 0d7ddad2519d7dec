#include "control/config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "control/internal/config_fields.h"
#include "model/job_json.h"
#include "os/files.h"

namespace busbar::control {
namespace {

Result<void> at(const std::string& place, Result<void> result) {
  if (!result) {
    result.error().message = place + ": " + result.error().message;
  }
  return result;
}

void note_listen_origin(ConfigOrigins& origins, const std::string& place) {
  for (const char* key : {"listen_address", "port"}) {
    origins.insert_or_assign(key, place);
  }
}

/// One file being read: puts FILE:LINE in front of every error.
class FileReader {
 public:
  FileReader(const std::string& file_name, LoadedConfig& loaded)
      : file_name_(file_name), config_(loaded.config), origins_(loaded.origins) {}

  Result<void> read(const toml::table& root);

 private:
  std::string place(const toml::source_region& source) const {
    return fmt::format("{}:{}", file_name_, source.begin.line);
  }
  tl::unexpected<Error> fail(const toml::source_region& source, std::string message) const {
    return make_error(ErrorCode::kInvalidArgument, place(source) + ": " + std::move(message));
  }

  Result<void> read_field(const ConfigField& field, const toml::node& node);
  Result<void> read_queues(const toml::node& node);
  Result<void> read_queue(const toml::table& table);
  std::string amounts_text(const toml::node& node) const;
  Result<void> read_queue_number(std::string_view key, const toml::node& node, model::Queue& queue);

  const std::string& file_name_;
  ServerConfig& config_;
  ConfigOrigins& origins_;
};

Result<void> FileReader::read(const toml::table& root) {
  // In the order of the keys, so "listen" before the two that win over it.
  for (const auto& [key, node] : root) {
    if (key.str() == "queues") {
      TRY(read_queues(node));
      origins_.insert_or_assign("queues", place(node.source()));
      continue;
    }
    if (key.str() == kListenKey && node.is_string()) {
      TRY(at(place(node.source()), set_config_listen(config_, *node.value_exact<std::string>())));
      note_listen_origin(origins_, place(node.source()));
      continue;
    }
    const ConfigField* field = find_config_field(key.str());
    if (field == nullptr) {
      return fail(key.source(), unknown_key_message(key.str()));
    }
    TRY(at(place(node.source()), read_field(*field, node)));
    origins_.insert_or_assign(std::string(field->key), place(node.source()));
  }
  return {};
}

Result<void> FileReader::read_field(const ConfigField& field, const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) {
    if (field.type == ConfigType::kInteger || field.type == ConfigType::kList) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("{} must be {}, not a text", field.key, type_name(field)));
    }
    return set_config_value(config_, field, *text);
  }
  if (const auto number = node.value_exact<std::int64_t>()) {
    return set_config_integer(config_, field, *number);
  }
  if (const toml::array* array = node.as_array()) {
    std::vector<std::string> values;
    for (const toml::node& item : *array) {
      const auto text = item.value_exact<std::string>();
      if (!text) {
        return make_error(ErrorCode::kInvalidArgument, fmt::format("{} must be a list of texts", field.key));
      }
      values.push_back(*text);
    }
    return set_config_list(config_, field, std::move(values));
  }
  return make_error(ErrorCode::kInvalidArgument, fmt::format("{} must be {}", field.key, type_name(field)));
}

Result<void> FileReader::read_queues(const toml::node& node) {
  const toml::array* array = node.as_array();
  if (array == nullptr) {
    return fail(node.source(), "queues must be tables of the form [[queues]]");
  }
  config_.queues.clear();
  for (const toml::node& item : *array) {
    const toml::table* table = item.as_table();
    if (table == nullptr) {
      return fail(item.source(), "queues must be tables of the form [[queues]]");
    }
    TRY(read_queue(*table));
  }
  return {};
}

/// "64,H100=8" from that text, a number, or a table {all = 64, H100 = 8}; "" from anything else.
std::string FileReader::amounts_text(const toml::node& node) const {
  if (const auto number = node.value_exact<std::int64_t>()) {
    return std::to_string(*number);
  }
  if (const auto fraction = node.value_exact<double>()) {
    return fmt::format("{}", *fraction);
  }
  if (const auto written = node.value_exact<std::string>()) {
    return *written;
  }
  std::string text;
  if (const toml::table* table = node.as_table()) {
    for (const auto& [chip, value] : *table) {
      const std::string amount = value.is_table() ? "" : amounts_text(value);
      text += fmt::format("{}{}{}", text.empty() ? "" : ",", chip.str() == "all" ? "" : std::string(chip.str()) + "=",
                          amount);
    }
  }
  return text;
}

/// Cards, weights, a duration: what is read by the parsers that flags use too.
Result<void> FileReader::read_queue_number(std::string_view key, const toml::node& node, model::Queue& queue) {
  const std::string text = amounts_text(node);
  const auto keep = [&](auto parsed, auto& field) -> Result<void> {
    if (!parsed) return fail(node.source(), fmt::format("{}: {}", key, parsed.error().message));
    field = *std::move(parsed);
    return {};
  };
  if (key == "guarantee") return keep(model::parse_card_amounts(text), queue.guarantee);
  if (key == "limit") return keep(model::parse_card_amounts(text), queue.limit);
  if (key == "weight") return keep(model::parse_queue_weights(text), queue.weight);
  return keep(parse_duration_ms(text), queue.reclaim_bound_ms);
}

Result<void> FileReader::read_queue(const toml::table& table) {
  model::Queue queue;
  for (const auto& [key, node] : table) {
    if (key.str() == "name" && node.is_string()) {
      queue.name = *node.value_exact<std::string>();
    } else if (key.str() == "parent" && node.is_string()) {
      queue.parent = *node.value_exact<std::string>();
    } else if (key.str() == "guarantee" || key.str() == "limit" || key.str() == "weight" ||
               key.str() == "reclaim_bound") {
      TRY(read_queue_number(key.str(), node, queue));
    } else if (key.str() == "enforce" && model::enforce_from_name(node.value_or(std::string())).has_value()) {
      queue.enforce = *model::enforce_from_name(*node.value_exact<std::string>());
    } else if (key.str() == "priority" && node.is_integer()) {
      constexpr std::int64_t kMaxPriority = 1'000'000;
      const std::int64_t priority = *node.value_exact<std::int64_t>();
      if (priority < -kMaxPriority || priority > kMaxPriority) {
        return fail(node.source(),
                    fmt::format("priority is {}, outside -{} to {}", priority, kMaxPriority, kMaxPriority));
      }
      queue.priority = static_cast<std::int32_t>(priority);
    } else if (key.str() == "name" || key.str() == "parent" || key.str() == "priority" || key.str() == "enforce") {
      return fail(node.source(), fmt::format("{} must be {}", key.str(),
                                             key.str() == "priority"  ? "a whole number"
                                             : key.str() == "enforce" ? "\"now\" or \"later\""
                                                                      : "text"));
    } else {
      return fail(key.source(), fmt::format("unknown key {} of a queue; known: name, parent, guarantee, limit, weight, "
                                            "priority, reclaim_bound, enforce",
                                            toml_quote(key.str())));
    }
  }
  TRY(at(place(table.source()), model::validate(queue)));
  const auto is_same = [&queue](const model::Queue& other) { return other.name == queue.name; };
  if (std::any_of(config_.queues.begin(), config_.queues.end(), is_same)) {
    return fail(table.source(), fmt::format("queue \"{}\" is there already", queue.name));
  }
  config_.queues.push_back(std::move(queue));
  return {};
}

Result<void> read_file_text(const std::string& text, const std::string& file_name, LoadedConfig& loaded) {
  try {
    const toml::table root = toml::parse(text, file_name);
    return FileReader(file_name, loaded).read(root);
  } catch (const toml::parse_error& error) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("{}:{}:{}: {}", file_name, error.source().begin.line,
                                                               error.source().begin.column, error.description()));
  }
}

Result<void> read_environment(const std::map<std::string, std::string>& environment, LoadedConfig& loaded) {
  if (const auto found = environment.find("BUSBAR_LISTEN"); found != environment.end()) {
    TRY(at(found->first, set_config_listen(loaded.config, found->second)));
    note_listen_origin(loaded.origins, found->first);
  }
  for (const ConfigField& field : config_fields()) {
    const std::string name = variable_name(field);
    if (const auto found = environment.find(name); found != environment.end()) {
      TRY(at(name, set_config_value(loaded.config, field, found->second)));
      loaded.origins.insert_or_assign(std::string(field.key), name);
    }
  }
  return {};
}

Result<void> read_override(const std::string& text, LoadedConfig& loaded) {
  const std::size_t equals = text.find('=');
  const std::string key = text.substr(0, equals);
  if (equals == std::string::npos) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("flag {}: expected key=value", toml_quote(text)));
  }
  if (key == kListenKey) {
    note_listen_origin(loaded.origins, "flag");
    return at("flag listen", set_config_listen(loaded.config, std::string_view(text).substr(equals + 1)));
  }
  const ConfigField* field = find_config_field(key);
  if (field == nullptr) {
    const std::string why =
        key == "queues" ? "queues can be set only in the configuration file" : unknown_key_message(key);
    return make_error(ErrorCode::kInvalidArgument, "flag: " + why);
  }
  loaded.origins.insert_or_assign(key, "flag");
  return at("flag " + key, set_config_value(loaded.config, *field, std::string_view(text).substr(equals + 1)));
}

std::string variable(const std::map<std::string, std::string>& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

/// $XDG_STATE_HOME/busbar, else ~/.local/state/busbar. "" when neither is known. The XDG specification says that
/// relative values count as unset.
std::string user_dir(const std::map<std::string, std::string>& environment, const std::string& xdg_name,
                     std::string_view below_home) {
  if (const std::string base = variable(environment, xdg_name); base.starts_with('/')) {
    return os::join_path(base, "busbar");
  }
  const std::string home = variable(environment, "HOME");
  return home.starts_with('/') ? os::join_path(os::join_path(home, below_home), "busbar") : "";
}

Result<void> fill_defaults(const ConfigSources& sources, ServerConfig& config) {
  const bool is_system = sources.is_root && config.state_dir.empty();
  if (config.state_dir.empty()) {
    config.state_dir =
        sources.is_root ? "/var/lib/busbar" : user_dir(sources.environment, "XDG_STATE_HOME", ".local/state");
  }
  if (config.state_dir.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "state_dir is not given and HOME is not set; set BUSBAR_STATE_DIR");
  }
  if (config.run_dir.empty()) {
    // Two servers with their own state must not meet in one run_dir.
    config.run_dir = is_system ? "/run/busbar" : os::join_path(config.state_dir, "run");
  }
  if (config.oci_cache_dir.empty()) {
    config.oci_cache_dir = os::join_path(config.state_dir, "oci");
  }
  return {};
}

Result<void> check_together(const ServerConfig& config) {
  if (config.auth == "none" && !is_loopback_address(config.listen_address)) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("auth is none but listen_address is {}, which other machines reach; use auth = token, "
                    "or listen on 127.0.0.1",
                    toml_quote(config.listen_address)));
  }
  if (config.listen_address.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "listen_address is empty; give an IP address, 0.0.0.0 for all");
  }
  for (const std::string& path : config.masked_paths) {
    if (!path.starts_with('/')) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("masked_paths must hold absolute paths, not {}", toml_quote(path)));
    }
  }
  return {};
}

std::string origin_of(const LoadedConfig& loaded, std::string_view key) {
  const auto found = loaded.origins.find(key);
  return found == loaded.origins.end() ? "default" : found->second;
}

}  // namespace

bool is_loopback_address(const std::string& address) {
  return address.starts_with("127.") || address == "::1" || address == "localhost";
}

Result<LoadedConfig> load_config_with_origins(const ConfigSources& sources) {
  LoadedConfig loaded;
  for (const ConfigField& field : config_fields()) {
    loaded.origins.emplace(field.key, "default");
  }
  if (sources.file_text) {
    TRY(read_file_text(*sources.file_text, sources.file_name, loaded));
  }
  TRY(read_environment(sources.environment, loaded));
  for (const std::string& text : sources.overrides) {
    TRY(read_override(text, loaded));
  }
  TRY(fill_defaults(sources, loaded.config));
  TRY(check_together(loaded.config));
  return loaded;
}

sched::Policy policy_of(const ServerConfig& config) {
  sched::Policy policy;
  policy.start_deadline_ms = config.sched_start_deadline_ms;
  policy.hold_ms = config.sched_hold_ms;
  policy.max_reservations = static_cast<std::uint32_t>(config.sched_max_promises);
  policy.backfill_patience_ms = config.sched_backfill_patience_ms;
  policy.may_backfill_yield = config.sched_backfill == "yield";
  policy.eviction_interval_ms = config.sched_eviction_interval_ms;
  policy.claim_timeout_ms = config.sched_claim_timeout_ms;
  policy.checkpoint_credit_ms = config.sched_checkpoint_credit_ms;
  policy.restart_cost_ms = config.sched_restart_cost_ms;
  policy.live_resize_cost_ms = config.sched_live_resize_cost_ms;
  policy.live_resize_interval_ms = config.sched_live_resize_interval_ms;
  policy.order = config.sched_order == "learned" ? sched::Order::kLearned : sched::Order::kAge;
  policy.max_moves_per_hour = static_cast<std::uint32_t>(config.sched_max_moves);
  policy.fair_share_half_life_ms = config.sched_half_life_ms;
  return policy;
}

Result<ServerConfig> load_config(const ConfigSources& sources) {
  TRY_ASSIGN(LoadedConfig loaded, load_config_with_origins(sources));
  return std::move(loaded.config);
}

std::string default_config_path(const std::map<std::string, std::string>& environment, bool is_root) {
  if (const std::string named = variable(environment, "BUSBAR_CONFIG"); !named.empty()) {
    return named;
  }
  const std::string dir = is_root ? "" : user_dir(environment, "XDG_CONFIG_HOME", ".config");
  return dir.empty() ? "/etc/busbar/busbar.toml" : os::join_path(dir, "busbar.toml");
}

std::string config_reference() {
  const ServerConfig defaults;
  std::string text = "| key | variable | value | default | what it is |\n|---|---|---|---|---|\n";
  for (const ConfigField& field : config_fields()) {
    const std::string value =
        field.default_doc.empty() ? "`" + config_value_to_toml(defaults, field) + "`" : std::string(field.default_doc);
    text += fmt::format("| `{}` | `{}` | {} | {} | {} |\n", field.key, variable_name(field), type_name(field), value,
                        field.doc);
  }
  text +=
      "| `listen` | `BUSBAR_LISTEN` | ADDRESS:PORT | | Short for `listen_address` and `port`, which win over it in the "
      "same place. |\n"
      "| `[[queues]]` | | tables | none | Queues made or changed at start, each with `name`, `parent`, `guarantee`, "
      "`limit` (both cards: 64, \"64,H100=8\" or {all = 64, H100 = 8}), `weight` (2, or \"2,H100=3\"), `priority`, "
      "`reclaim_bound` (\"1h\") and `enforce` (\"later\" or \"now\"): docs/scheduling.md. |\n";
  return text;
}

std::string config_to_toml(const LoadedConfig& loaded) {
  const ServerConfig& config = loaded.config;
  std::string text;
  for (const ConfigField& field : config_fields()) {
    text += fmt::format("# {}\n{} = {}  # {}\n\n", field.doc, field.key, config_value_to_toml(config, field),
                        origin_of(loaded, field.key));
  }
  for (const model::Queue& queue : config.queues) {
    text += fmt::format(
        "[[queues]]  # {}\nname = {}\nparent = {}\nguarantee = {}\nlimit = {}\nweight = {}\npriority = {}\n"
        "reclaim_bound = \"{}ms\"\nenforce = {}\n\n",
        origin_of(loaded, "queues"), toml_quote(queue.name), toml_quote(queue.parent),
        toml_quote(model::format_card_amounts(queue.guarantee)), toml_quote(model::format_card_amounts(queue.limit)),
        toml_quote(model::format_queue_weights(queue.weight)), queue.priority, queue.reclaim_bound_ms,
        toml_quote(model::enforce_name(queue.enforce)));
  }
  text.pop_back();
  return text;
}

Json config_to_json(const LoadedConfig& loaded) {
  Json settings = Json::object();
  for (const ConfigField& field : config_fields()) {
    settings.set(std::string(field.key), Json::object({{"value", config_value_to_json(loaded.config, field)},
                                                       {"source", origin_of(loaded, field.key)}}));
  }
  Json queues = Json::array();
  for (const model::Queue& queue : loaded.config.queues) {
    Json json = model::to_json(queue);
    json.set("source", origin_of(loaded, "queues"));
    queues.push(std::move(json));
  }
  return Json::object({{"settings", std::move(settings)}, {"queues", std::move(queues)}});
}

}  // namespace busbar::control

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "model/cluster.h"
#include "sched/policy.h"

namespace busbar::control {

/// Everything that can be told to `busbar server` and `busbar up`. A plain value. One table (config_fields.cc) ties
/// each field to its key, its text form and its doc; docs/configuration.md is that table, printed.
struct ServerConfig {
  // Where it listens and who may come in.
  std::string listen_address = "127.0.0.1";
  std::int64_t port = 7717;                     ///< 0: the kernel picks; server.json says which.
  std::vector<std::string> allowed_hosts = {};  ///< net::HttpServerOptions::allowed_hosts.
  std::string auth = "token";                   ///< "token" or "none"; none only on loopback.
  std::int64_t max_body_bytes = 16 << 20;
  std::int64_t api_threads = 1;
  std::int64_t shutdown_grace_ms = 5'000;
  std::string gateway = "127.0.0.1:7780";  ///< Where `busbar up` lets its gateway listen; "off": it starts none.
  std::string gateway_tls = {};            ///< Where it listens with TLS; "": its default, if it has a certificate.
  std::vector<std::string> gateway_tls_cert = {};
  std::vector<std::string> gateway_tls_key = {};

  // Where it keeps things. `load_config` fills the empty ones in.
  std::string state_dir = {};
  std::string run_dir = {};
  std::string oci_cache_dir = {};
  std::string synchronous = "full";  ///< "full" or "normal", see store::SqliteOptions.
  std::int64_t snapshot_every_steps = 1'000;

  // Its own log.
  std::string log_level = "info";
  std::string log_format = "auto";
  std::string log_file = {};

  // The local engine.
  std::string runtime = {};
  std::string conmon = {};
  std::string helper_dir = {};
  std::string node_name = {};
  std::int64_t cpu_cards = 0;
  std::vector<std::string> masked_paths = {};
  std::string chips_dir = "/etc/busbar/chips.d";
  std::string topology_file = "/etc/busbar/cards.yaml";
  std::string device_root = "/";
  std::string nvml_library = {};
  std::int64_t probe_period_ms = 2'000;
  std::int64_t log_max_bytes = 64 << 20;
  std::int64_t log_files = 3;

  // What jobs that are over leave; see Retention. 0: no limit.
  std::int64_t keep_ended_jobs = 10'000;
  std::int64_t keep_ended_age_ms = std::int64_t{30} * 86'400'000;
  std::int64_t keep_ended_bytes = std::int64_t{20} << 30;

  // Services.
  std::int64_t service_scale_down_after_ms = 60'000;
  std::string gateway_url = "http://127.0.0.1:7780";

  // Scheduling: sched::Policy, docs/scheduling.md.
  std::int64_t sched_start_deadline_ms = sched::Policy{}.start_deadline_ms;
  std::int64_t sched_hold_ms = sched::Policy{}.hold_ms;
  std::int64_t sched_max_promises = sched::Policy{}.max_reservations;
  std::int64_t sched_backfill_patience_ms = sched::Policy{}.backfill_patience_ms;
  std::string sched_backfill = "strict";  ///< "yield" or "strict".
  std::int64_t sched_eviction_interval_ms = sched::Policy{}.eviction_interval_ms;
  std::int64_t sched_claim_timeout_ms = sched::Policy{}.claim_timeout_ms;
  std::int64_t sched_checkpoint_credit_ms = sched::Policy{}.checkpoint_credit_ms;
  std::int64_t sched_restart_cost_ms = sched::Policy{}.restart_cost_ms;
  std::int64_t sched_live_resize_cost_ms = sched::Policy{}.live_resize_cost_ms;
  std::int64_t sched_live_resize_interval_ms = sched::Policy{}.live_resize_interval_ms;
  std::string sched_order = "age";  ///< "age" or "learned".
  std::int64_t sched_max_moves = 0;
  std::int64_t sched_half_life_ms = sched::Policy{}.fair_share_half_life_ms;

  // Queues that are made, or changed, at start.
  std::vector<model::Queue> queues = {};

  friend bool operator==(const ServerConfig&, const ServerConfig&) = default;
};

/// The site's rules that a configuration asks for.
sched::Policy policy_of(const ServerConfig& config);

/// Where the values come from, each a text that the caller has read.
struct ConfigSources {
  std::optional<std::string> file_text = {};
  std::string file_name = "busbar.toml";  ///< For messages.
  /// Read: BUSBAR_<KEY> for each key, XDG_STATE_HOME and HOME for the default of state_dir. Others are ignored, because
  /// the environment is shared with clients (BUSBAR_URL) and tasks (BUSBAR_JOB_ID).
  std::map<std::string, std::string> environment = {};
  std::vector<std::string> overrides = {};  ///< "key=value", from flags, the last of a key wins.
  bool is_root = false;
};

/// Flags win over the environment, that over the file, that over the defaults. Texts are as in job files: "16MiB",
/// "10s"; lists in flags and environment are comma-separated. kInvalidArgument for an unknown key (with the nearest
/// name), a wrong type, a value out of range, a relative directory, or `auth = none` on an address that is not
/// loopback; the message begins with FILE:LINE, the variable or the flag at fault.
Result<ServerConfig> load_config(const ConfigSources& sources);

/// Where each value came from, by key: "default", "busbar.toml:3", "BUSBAR_PORT", "flag".
using ConfigOrigins = std::map<std::string, std::string, std::less<>>;

struct LoadedConfig {
  ServerConfig config = {};
  ConfigOrigins origins = {};
};
/// `load_config` with the place of each value.
Result<LoadedConfig> load_config_with_origins(const ConfigSources& sources);

/// BUSBAR_CONFIG if set, else /etc/busbar/busbar.toml for root, else $XDG_CONFIG_HOME or ~/.config,
/// /busbar/busbar.toml. A missing file is an error only for BUSBAR_CONFIG and --config; the caller reads it.
std::string default_config_path(const std::map<std::string, std::string>& environment, bool is_root);

/// The keys as a Markdown table: key, variable, type, default, what it is. For docs/configuration.md.
std::string config_reference();

/// The effective values as a configuration file that `load_config` reads back to the same, each with the place that it
/// came from; for `busbar server --print-config`.
std::string config_to_toml(const LoadedConfig& loaded);
/// The same for programs: {"settings": {KEY: {"value", "source"}}, "queues": [...]}.
Json config_to_json(const LoadedConfig& loaded);

/// True for 127.0.0.0/8, ::1 and "localhost".
bool is_loopback_address(const std::string& address);

}  // namespace busbar::control

#include "serve.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "chip/probe/host_probe.h"
#include "chip_files.h"
#include "control/config.h"
#include "control/server.h"
#include "control/server_file.h"
#include "data/oci_layout.h"
#include "engine/local/local_engine.h"
#include "gateway_child.h"
#include "os/files.h"
#include "os/log.h"
#include "os/signals.h"
#include "os/system_clock.h"
#include "store/sqlite/sqlite_store.h"

extern char** environ;

namespace busbar {
namespace {

constexpr std::size_t kMaxConfigBytes = 1 << 20;

std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

Result<control::LoadedConfig> read_config(const std::string& config_file,
                                          const std::vector<std::pair<std::string, std::string>>& overrides) {
  control::ConfigSources sources{.environment = environment(), .is_root = geteuid() == 0};
  const bool is_named = !config_file.empty() || sources.environment.contains("BUSBAR_CONFIG");
  sources.file_name =
      config_file.empty() ? control::default_config_path(sources.environment, sources.is_root) : config_file;
  if (is_named || os::file_exists(sources.file_name)) {
    TRY_ASSIGN(sources.file_text, os::read_file(sources.file_name, kMaxConfigBytes));
  }
  for (const auto& [key, value] : overrides) sources.overrides.push_back(fmt::format("{}={}", key, value));
  return control::load_config_with_origins(sources);
}

std::string database_path(const std::string& state_dir) {
  return os::join_path(state_dir, "busbar.db");
}

/// busbar-rsh and the SDK: beside the binary in a build tree, below ../lib/busbar where installed.
std::string default_helper_dir() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return "/usr/lib/busbar";
  const std::filesystem::path beside = self.parent_path();
  if (std::filesystem::exists(beside / "busbar-rsh", error)) return beside;
  return beside.parent_path() / "lib" / "busbar";
}

ProbeSettings probe_settings_of(const control::ServerConfig& config) {
  return {.topology_file = config.topology_file,
          .chips_dir = config.chips_dir,
          .measured_file = os::join_path(config.state_dir, "measured.json")};
}

std::unique_ptr<engine::DeviceProbe> make_probe(const control::ServerConfig& config, const chip::Catalogue& catalogue) {
  const ProbeSettings settings = probe_settings_of(config);
  return chip::probe::make_host_probe({.root = config.device_root,
                                       .cpu_cards = static_cast<std::uint32_t>(config.cpu_cards),
                                       .topology_file = settings.topology_file,
                                       .state_file = os::join_path(config.state_dir, "cards.json"),
                                       .measured_file = settings.measured_file,
                                       .nvml_library = config.nvml_library},
                                      std::make_shared<const chip::Catalogue>(catalogue));
}

Result<control::Server::Dependencies> make_dependencies(const control::ServerConfig& config, const Clock& clock,
                                                        Random& random, engine::DeviceProbe& probe,
                                                        std::vector<engine::RootfsProvider*> providers,
                                                        chip::Catalogue catalogue) {
  TRY_ASSIGN(std::unique_ptr<store::Store> store,
             store::open_sqlite_store(
                 {.path = database_path(config.state_dir), .is_synchronous_full = config.synchronous == "full"}));
  engine::LocalOptions options{.state_dir = config.state_dir,
                               .run_dir = config.run_dir,
                               .runtime = config.runtime,
                               .conmon = config.conmon,
                               .helper_dir = config.helper_dir.empty() ? default_helper_dir() : config.helper_dir,
                               .probe_period_ms = config.probe_period_ms,
                               .log_max_bytes = config.log_max_bytes,
                               .log_files = static_cast<std::uint32_t>(config.log_files),
                               .node_name = config.node_name,
                               .masked_paths = config.masked_paths};
  TRY_ASSIGN(std::unique_ptr<engine::Engine> engine,
             engine::make_local_engine(options, std::move(providers), probe, clock));
  return control::Server::Dependencies{.store = std::move(store),
                                       .engine = std::move(engine),
                                       .clock = clock,
                                       .random = random,
                                       .version = BUSBAR_VERSION,
                                       .build_id = BUSBAR_BUILD_ID,
                                       .catalogue = std::move(catalogue)};
}

/// Without it services cannot be reached, but everything else works: so a taken port is said and no more.
std::optional<GatewayChild> start_gateway(const control::ServerConfig& config) {
  if (config.gateway == "off") return std::nullopt;
  std::vector<std::string> flags = {"--listen", config.gateway};
  const auto add = [&flags](const std::string& flag, const std::string& value) {
    if (!value.empty()) flags.insert(flags.end(), {flag, value});
  };
  add("--tls-listen", config.gateway_tls);
  for (const std::string& file : config.gateway_tls_cert) add("--tls-cert", file);
  for (const std::string& file : config.gateway_tls_key) add("--tls-key", file);
  auto gateway = GatewayChild::start(config.state_dir, flags);
  if (gateway) return *std::move(gateway);
  LOG(kWarning, "gateway_not_started", {{"listen", config.gateway}, {"error", gateway.error().to_string()}});
  return std::nullopt;
}

Result<void> run_server(const cli::ServerCommandOptions& options) {
  TRY_ASSIGN(os::SignalFd signals, os::SignalFd::create());
  TRY_ASSIGN(control::LoadedConfig loaded, read_config(options.config_file, options.overrides));
  if (loaded.config.gateway_url == control::ServerConfig().gateway_url && loaded.config.gateway != "off") {
    loaded.config.gateway_url = "http://" + loaded.config.gateway;
  }
  const control::ServerConfig& config = loaded.config;
  TRY_ASSIGN(const os::LogLevel level, os::parse_log_level(config.log_level));
  const os::LogFormat format = config.log_format == "json"   ? os::LogFormat::kJson
                               : config.log_format == "text" ? os::LogFormat::kText
                                                             : os::LogFormat::kAuto;
  TRY(os::configure_log({.level = level, .format = format, .file = config.log_file}));
  TRY_ASSIGN(control::ServerFile claim, control::ServerFile::claim(config.state_dir));
  TRY(os::make_dirs(config.run_dir, 0700));

  os::SystemClock clock;
  os::SystemRandom random;
  const auto host = engine::make_host_rootfs(config.masked_paths);
  const auto layouts = data::make_oci_layout_provider(config.oci_cache_dir);
  TRY_ASSIGN(chip::Catalogue catalogue, read_catalogue(config.chips_dir));
  const auto probe = make_probe(config, catalogue);
  TRY_ASSIGN(control::Server::Dependencies dependencies,
             make_dependencies(config, clock, random, *probe, {host.get(), layouts.get()}, std::move(catalogue)));
  TRY_ASSIGN(const std::unique_ptr<control::Server> server, control::Server::start(config, std::move(dependencies)));
  const std::string token_file = config.auth == "token" ? os::join_path(config.state_dir, "token") : "";
  TRY(claim.publish({.url = server->url(), .pid = getpid(), .token_file = token_file, .started_ms = clock.now_ms()}));
  std::optional<GatewayChild> gateway = start_gateway(config);
  fmt::print("busbar is ready: {} (state in {}; stop with Ctrl-C, jobs go on)\n", server->url(), config.state_dir);
  if (gateway) fmt::print("services answer at {}/services/NAME/\n", gateway->url());
  std::fflush(stdout);
  const std::optional<int> signal = signals.wait(std::chrono::hours(24 * 365 * 100));
  LOG(kInfo, "stopping", {{"signal", signal.value_or(0)}});
  if (gateway) gateway->stop();
  server->stop();
  return {};
}

Result<void> print_config(const cli::ServerCommandOptions& options, bool wants_json) {
  TRY_ASSIGN(const control::LoadedConfig loaded, read_config(options.config_file, options.overrides));
  fmt::print("{}", wants_json ? control::config_to_json(loaded).dump() + "\n" : control::config_to_toml(loaded));
  return {};
}

/// --print-config comes as a setting that is none: its form, "toml" or "json"; "" if it was not given.
std::string take_print_config(cli::ServerCommandOptions& options) {
  std::string form;
  std::erase_if(options.overrides, [&form](const std::pair<std::string, std::string>& setting) {
    if (setting.first != "print_config") return false;
    form = setting.second;
    return true;
  });
  return form;
}

}  // namespace

Result<ProbeSettings> probe_settings(const std::string& state_dir) {
  std::vector<std::pair<std::string, std::string>> overrides;
  if (!state_dir.empty()) overrides.emplace_back("state_dir", state_dir);
  TRY_ASSIGN(const control::LoadedConfig loaded, read_config("", overrides));
  return probe_settings_of(loaded.config);
}

int serve(const cli::ServerCommandOptions& given) {
  cli::ServerCommandOptions options = given;
  const std::string print_form = take_print_config(options);
  if (print_form.empty() && options.role == cli::ServerCommandOptions::Role::kServer) {
    // Without the local engine there is nothing that could run a task until another engine is configured.
    fmt::print(stderr,
               "busbar: error: `busbar server` needs an engine beside this machine's own, and this version has "
               "none; `busbar up` runs server and local engine together\n");
    return exit_code(ErrorCode::kUnsupported);
  }
  const auto done = print_form.empty() ? run_server(options) : print_config(options, print_form == "json");
  if (done) return 0;
  fmt::print(stderr, "busbar: error: {}\n", done.error().to_string());
  return exit_code(done.error().code);
}

Result<std::string> restore(const cli::RestoreCommandOptions& options) {
  std::vector<std::pair<std::string, std::string>> overrides;
  if (!options.state_dir.empty()) overrides.emplace_back("state_dir", options.state_dir);
  TRY_ASSIGN(const control::LoadedConfig loaded, read_config("", overrides));
  const control::ServerConfig& config = loaded.config;
  TRY_ASSIGN(const control::ServerFile claim, control::ServerFile::claim(config.state_dir));
  const std::string path = database_path(config.state_dir);
  TRY(store::restore_sqlite_store(options.backup_file, path));
  return fmt::format("restored {} from {}; start the server again with: busbar up --state-dir {}", path,
                     options.backup_file, config.state_dir);
}

}  // namespace busbar

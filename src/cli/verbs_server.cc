#include <memory>
#include <utility>

#include "cli/context.h"

namespace busbar::cli {
namespace {

struct ServerFlags {
  ServerCommandOptions server = {};
  std::string listen = {};
  std::string log_level = {};
  std::string cpu_cards = {};
  std::string runtime = {};
  std::vector<std::string> settings = {};
  bool prints_config = false;
  bool is_foreground = false;  ///< What it does anyway; service managers like to see it said.
};

Result<int> serve(Context& context, const ServerFlags& options) {
  if (!context.hooks.serve) {
    return make_error(ErrorCode::kUnsupported, "this build of busbar has no server in it");
  }
  ServerCommandOptions server = options.server;
  const auto add = [&server](const char* name, const std::string& value) {
    if (!value.empty()) {
      server.overrides.emplace_back(name, value);
    }
  };
  for (const std::string& setting : options.settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      return make_error(ErrorCode::kInvalidArgument, "--set \"" + setting + "\" is not NAME=VALUE");
    }
    server.overrides.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
  }
  add("listen", options.listen);
  add("state_dir", context.global.state_dir);
  add("log_level", options.log_level);
  add("cpu_cards", options.cpu_cards);
  add("runtime", options.runtime);
  add("print_config", !options.prints_config ? "" : context.wants_json() ? "json" : "toml");
  return context.hooks.serve(server);
}

Command serve_command(ServerCommandOptions::Role role) {
  auto options = std::make_shared<ServerFlags>();
  options->server.role = role;
  return {
      .flags = {with_completion(text_flag("--config", "FILE", "configuration file (TOML)", options->server.config_file),
                                Complete::kFiles),
                text_flag("--listen", "HOST:PORT", "where the API listens (default: 127.0.0.1:7717)", options->listen),
                with_completion(text_flag("--log-level", "LEVEL", "debug, info, warning or error", options->log_level),
                                Complete::kWords, {"debug", "info", "warning", "error"}),
                text_flag("--cpu-cards", "N", "CPU cores offered as cards (default: all)", options->cpu_cards),
                with_completion(
                    text_flag("--runtime", "PROGRAM", "runc or crun (default: the one that works)", options->runtime),
                    Complete::kWords, {"runc", "crun"}),
                list_flag("--set", "NAME=VALUE", "any setting of the configuration file; may be repeated",
                          options->settings),
                switch_flag("--print-config", "print the settings in effect and where each comes from, then exit",
                            options->prints_config),
                switch_flag("--foreground", "stay in the foreground: the default", options->is_foreground)},
      .run = [options](Context& context) { return serve(context, *options); }};
}

}  // namespace

Command up_command() {
  Command command = serve_command(ServerCommandOptions::Role::kUp);
  command.name = "up";
  command.summary = "run server and local engine on this machine";
  command.usage = "busbar up [flags]";
  command.details =
      "Listens on the loopback address, keeps its state in the state directory, writes its address and token there "
      "for the other verbs. Ctrl-C stops the server; jobs go on and are taken over by the next one.";
  command.examples = {{"busbar up", "in the foreground"},
                      {"busbar up --print-config", "what it would run with"},
                      {"busbar up --state-dir /tmp/try --listen 127.0.0.1:0", "a second one beside it"}};
  return command;
}

Command server_command() {
  Command command = serve_command(ServerCommandOptions::Role::kServer);
  command.name = "server";
  command.summary = "run the control plane";
  command.usage = "busbar server [flags]";
  command.details = "What a service manager starts. Flags win over the environment, the environment over the file.";
  command.examples = {{"busbar server --config /etc/busbar/busbar.toml", "with a configuration file"},
                      {"busbar server --print-config", "check a configuration without starting anything"}};
  return command;
}

}  // namespace busbar::cli

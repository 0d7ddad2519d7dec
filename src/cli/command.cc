#include "cli/command.h"

#include <utility>

#include "base/text.h"
#include "base/units.h"

namespace busbar::cli {

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> kVerbs{
      {"up", "Server", "run server and local engine on this machine", up_command},
      {"server", "Server", "run the control plane", server_command},
      {"gateway", "Server", "run the gateway of services", gateway_command},
      {"apply", "Jobs", "submit job files", apply_command},
      {"run", "Jobs", "run a command as a job and mirror its exit code", run_command},
      {"dev", "Jobs", "open a shell in a job of its own", dev_command},
      {"ps", "Jobs", "list jobs", ps_command},
      {"describe", "Jobs", "everything about a job", describe_command},
      {"why", "Jobs", "why a job does not run, and what would start it", why_command},
      {"when", "Jobs", "when a waiting job starts", when_command},
      {"logs", "Jobs", "print a job's output", logs_command},
      {"exec", "Jobs", "run a command inside a running job", exec_command},
      {"attach", "Jobs", "connect to a job's terminal", attach_command},
      {"stop", "Jobs", "stop jobs", stop_command},
      {"signal", "Jobs", "send a signal to a job", signal_command},
      {"wait", "Jobs", "wait until jobs are over and mirror their exit code", wait_command},
      {"events", "Jobs", "what happened", events_command},
      {"serve", "Services", "make or change a service, and wait until it is ready", serve_command},
      {"services", "Services", "list services, or show one with its replicas", services_command},
      {"services top", "Services", "the list of services, again each second", services_top_command},
      {"services scale", "Services", "change how many replicas a service may have", services_scale_command},
      {"services rollback", "Services", "go back to the revision that served before", services_rollback_command},
      {"services delete", "Services", "end a service", services_delete_command},
      {"keys", "Services", "list the keys of callers of services", keys_command},
      {"keys create", "Services", "make a key for a caller of services", keys_create_command},
      {"keys revoke", "Services", "let keys in no more", keys_revoke_command},
      {"tenants", "Services", "list tenants of services with their shares and limits", tenants_command},
      {"tenants set", "Services", "set a tenant's share of services and its limits", tenants_set_command},
      {"tenants reset", "Services", "back to weight 1 and no limits", tenants_reset_command},
      {"nodes", "Cluster", "list nodes", nodes_command},
      {"drain", "Cluster", "give a node no new work", drain_command},
      {"resume", "Cluster", "take a drained node back", resume_command},
      {"cards", "Cluster", "list cards and what uses them", cards_command},
      {"chips", "Cluster", "list the kinds of accelerators that busbar knows", chips_command},
      {"chips show", "Cluster", "all facts about a chip, with their sources", chips_show_command},
      {"chips cdi", "Cluster", "print a CDI spec for this machine's cards of a family", chips_cdi_command},
      {"chips discover", "Cluster", "look for this machine's cards, without vendors' tools", chips_discover_command},
      {"chips measure", "Cluster", "measure how fast this machine's cards multiply matrices", chips_measure_command},
      {"queues", "Cluster", "list queues", queues_command},
      {"queues set", "Cluster", "make or change a queue", queues_set_command},
      {"policy diff", "Cluster", "what other queues would change now", policy_diff_command},
      {"usage", "Cluster", "card-hours by queue, user or job", usage_command},
      {"reserve", "Cluster", "keep nodes for some jobs, or for none, during a window", reserve_command},
      {"reserve cancel", "Cluster", "give reserved nodes back", reserve_cancel_command},
      {"reservations", "Cluster", "list reservations", reservations_command},
      {"secret set", "Secrets", "store a secret, read from standard input", secret_set_command},
      {"secret list", "Secrets", "list the names of secrets", secret_list_command},
      {"secret rm", "Secrets", "forget secrets", secret_rm_command},
      {"journal export", "State", "save the scheduler's journal", journal_export_command},
      {"replay", "State", "decide a saved journal again and compare", replay_command},
      {"backup", "State", "save the server's database", backup_command},
      {"restore", "State", "put a backup back (server stopped)", restore_command},
      {"sim replay", "Simulation", "run a recorded or made load through a policy", sim_replay_command},
      {"sim fgd", "Simulation", "fill a recorded cluster with pods under a packing policy", sim_fgd_command},
      {"sim speed", "Simulation", "measure how fast gangs are placed on a loaded fabric", sim_speed_command},
      {"schema", "Other", "print the JSON Schema of job files", schema_command},
      {"completion", "Other", "print a completion script for a shell", completion_command},
      {"version", "Other", "print versions", version_command},
  };
  return kVerbs;
}

Flag switch_flag(std::string names, std::string help, bool& target) {
  return {.names = std::move(names), .help = std::move(help), .set = [&target](const std::string&) -> Result<void> {
            target = true;
            return {};
          }};
}

Flag text_flag(std::string names, std::string value, std::string help, std::string& target) {
  return {.names = std::move(names),
          .value = std::move(value),
          .help = std::move(help),
          .set = [&target](const std::string& text) -> Result<void> {
            target = text;
            return {};
          }};
}

Flag list_flag(std::string names, std::string value, std::string help, std::vector<std::string>& target) {
  return {.names = std::move(names),
          .value = std::move(value),
          .help = std::move(help),
          .set = [&target](const std::string& text) -> Result<void> {
            target.push_back(text);
            return {};
          }};
}

Flag number_flag(std::string names, std::string value, std::string help, std::optional<std::int64_t>& target) {
  return {.names = std::move(names),
          .value = std::move(value),
          .help = std::move(help),
          .set = [&target](const std::string& text) -> Result<void> {
            target = parse_int(text);
            if (!target || *target < 0) {
              return make_error(ErrorCode::kInvalidArgument, "\"" + text + "\" is no number from 0 on");
            }
            return {};
          }};
}

Flag duration_flag(std::string names, std::string value, std::string help, std::optional<std::int64_t>& target_ms) {
  return {.names = std::move(names),
          .value = std::move(value),
          .help = std::move(help),
          .set = [&target_ms](const std::string& text) -> Result<void> {
            TRY_ASSIGN(target_ms, parse_duration_ms(text));
            return {};
          }};
}

Flag with_completion(Flag flag, Complete complete, std::vector<std::string> words) {
  flag.complete = complete;
  flag.words = std::move(words);
  return flag;
}

std::vector<Flag> global_flags(GlobalOptions& options) {
  return {
      text_flag("--server", "URL", "the server (BUSBAR_SERVER; default: the one running here)", options.server),
      text_flag("--token", "TOKEN", "token (better: BUSBAR_TOKEN, BUSBAR_TOKEN_FILE)", options.token),
      with_completion(
          text_flag("--state-dir", "DIR", "state directory of the local server (BUSBAR_STATE_DIR)", options.state_dir),
          Complete::kFiles),
      switch_flag("--json", "JSON instead of text", options.wants_json),
      switch_flag("--no-color", "no colours (NO_COLOR)", options.has_no_colour),
      switch_flag("-q,--quiet", "no remarks, only results", options.is_quiet),
      switch_flag("-h,--help", "help for busbar or for a verb", options.wants_help),
  };
}

}  // namespace busbar::cli

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

/// What a verb is, as data: the parser (cli.cc), `--help` (help.cc), the completion scripts (completion.cc) and
/// docs/cli.md all come from these tables.
namespace busbar::cli {

class Context;

/// What a shell offers to complete a value with.
enum class Complete { kNothing, kFiles, kJobs, kNodes, kQueues, kSecrets, kWords };

struct Flag {
  std::string names = {};  ///< "-N,--nodes"; the long one last.
  std::string value = {};  ///< "NODES"; empty: a switch.
  std::string help = {};
  /// Called once for each time that the flag is given, in order; a switch is given "".
  std::function<Result<void>(const std::string&)> set = {};
  Complete complete = Complete::kNothing;
  std::vector<std::string> words = {};  ///< For Complete::kWords.
};

/// What follows the flags.
struct Positional {
  std::string name = {};  ///< "JOB"; empty: the verb takes none.
  std::size_t least = 0;
  std::size_t most = 0;
  std::vector<std::string>* target = nullptr;
  Complete complete = Complete::kNothing;
  std::vector<std::string> words = {};
};

struct Example {
  std::string command = {};
  std::string text = {};
};

/// One verb. Flags and the positional point into an options object that `run` keeps alive.
struct Command {
  std::string name = {};  ///< "ps", or "secret set".
  std::string summary = {};
  std::string usage = {};  ///< "busbar ps [flags]"
  std::string details = {};
  std::vector<Flag> flags = {};
  Positional positional = {};
  /// The words after the flags (or after "--") are a command line of their own: no flags are looked for in them.
  bool takes_command = false;
  /// The exit code is a job's or a remote command's; failures of busbar itself then give 125.
  bool mirrors_exit_code = false;
  std::vector<Example> examples = {};
  std::function<Result<int>(Context&)> run = {};
};

/// A verb's entry in the list: cheap, so that only the verb that was asked for is built.
struct Verb {
  std::string_view name;
  std::string_view group;
  std::string_view summary;
  Command (*make)();
};

/// In the order of `busbar --help`.
const std::vector<Verb>& verbs();

// Ready-made `set` functions; the targets must outlive the flag.
Flag switch_flag(std::string names, std::string help, bool& target);
Flag text_flag(std::string names, std::string value, std::string help, std::string& target);
Flag list_flag(std::string names, std::string value, std::string help, std::vector<std::string>& target);
Flag number_flag(std::string names, std::string value, std::string help, std::optional<std::int64_t>& target);
/// "90s", "15m", "4h", "0-04:00:00".
Flag duration_flag(std::string names, std::string value, std::string help, std::optional<std::int64_t>& target_ms);
/// The same flag with something to complete its value with.
Flag with_completion(Flag flag, Complete complete, std::vector<std::string> words = {});

/// Given before or after the verb.
struct GlobalOptions {
  std::string server = {};
  std::string token = {};
  std::string state_dir = {};
  bool wants_json = false;
  bool has_no_colour = false;
  bool is_quiet = false;
  bool wants_help = false;
  bool wants_version = false;
};
std::vector<Flag> global_flags(GlobalOptions& options);

/// One group of verbs each, in the file of that name.
Command up_command();
Command server_command();
Command gateway_command();
Command apply_command();
Command run_command();
Command dev_command();
Command ps_command();
Command describe_command();
Command why_command();
Command when_command();
Command stop_command();
Command signal_command();
Command wait_command();
Command logs_command();
Command events_command();
Command exec_command();
Command attach_command();
Command nodes_command();
Command drain_command();
Command resume_command();
Command cards_command();
Command chips_command();
Command chips_show_command();
Command chips_cdi_command();
Command chips_discover_command();
Command chips_measure_command();
Command queues_command();
Command queues_set_command();
Command policy_diff_command();
Command usage_command();
Command reserve_command();
Command reserve_cancel_command();
Command reservations_command();
Command serve_command();
Command services_command();
Command services_top_command();
Command services_scale_command();
Command services_rollback_command();
Command services_delete_command();
Command keys_command();
Command keys_create_command();
Command keys_revoke_command();
Command tenants_command();
Command tenants_set_command();
Command tenants_reset_command();
Command secret_set_command();
Command secret_list_command();
Command secret_rm_command();
Command journal_export_command();
Command replay_command();
Command backup_command();
Command restore_command();
Command sim_replay_command();
Command sim_fgd_command();
Command sim_speed_command();
Command schema_command();
Command completion_command();
Command version_command();

}  // namespace busbar::cli

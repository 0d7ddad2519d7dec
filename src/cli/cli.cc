#include "cli/cli.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <span>

#include "base/text.h"
#include "cli/completion.h"
#include "cli/context.h"
#include "cli/help.h"
#include "os/system_clock.h"

namespace busbar::cli {
namespace {

/// Failures of busbar itself in verbs whose exit code is somebody else's; docker and env use the same number.
constexpr int kOwnFailure = 125;

using Arguments = std::vector<std::string>;

/// What CLI11 made of some arguments: those that are neither flags nor their values.
Result<Arguments> parse_flags(const Arguments& arguments, std::span<const std::vector<Flag>* const> flag_lists,
                              bool stops_at_word) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras(!stops_at_word);
  app.prefix_command(stops_at_word);
  for (const std::vector<Flag>* flags : flag_lists) {
    for (const Flag& flag : *flags) {
      const auto set = [&flag](const std::vector<std::string>& values) {
        for (const std::string& value : values) {
          if (const auto outcome = flag.set(value); !outcome) {
            throw CLI::ValidationError(flag.names, outcome.error().to_string());
          }
        }
      };
      if (flag.value.empty()) {
        app.add_flag_callback(flag.names, [&flag] { (void)flag.set(""); });
      } else {
        app.add_option_function<std::vector<std::string>>(flag.names, set)
            ->expected(1)
            ->allow_extra_args(false)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      }
    }
  }
  try {
    Arguments reversed(arguments.rbegin(), arguments.rend());
    app.parse(std::move(reversed));
    return app.remaining();
  } catch (const CLI::Error& error) {
    return make_error(ErrorCode::kInvalidArgument, error.what());
  }
}

/// The long names of some flags, for "did you mean".
std::vector<std::string> flag_names(std::span<const std::vector<Flag>* const> flag_lists) {
  std::vector<std::string> names;
  for (const std::vector<Flag>* flags : flag_lists) {
    for (const Flag& flag : *flags) {
      for (const std::string_view name : split(flag.names, ',')) {
        names.emplace_back(name);
      }
    }
  }
  return names;
}

Result<void> take_positionals(const Command& command, const Arguments& words,
                              std::span<const std::vector<Flag>* const> flag_lists) {
  for (const std::string& word : words) {
    if (word.size() > 1 && word.starts_with('-')) {
      const std::string name = word.substr(0, word.find('='));
      const auto near = nearest_name(name, flag_names(flag_lists));
      return make_error(ErrorCode::kInvalidArgument, fmt::format("busbar {} has no flag {}{}", command.name, name,
                                                                 near ? "; did you mean " + *near + "?" : ""));
    }
  }
  const Positional& positional = command.positional;
  if (positional.target == nullptr && !words.empty()) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("busbar {} takes no \"{}\"; usage: {}", command.name, words[0], command.usage));
  }
  if (words.size() < positional.least || (positional.target != nullptr && words.size() > positional.most)) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("busbar {} needs {} {}, not {}; usage: {}", command.name,
                                  positional.least == positional.most ? std::to_string(positional.least)
                                  : words.size() < positional.least   ? fmt::format("at least {}", positional.least)
                                                                      : fmt::format("at most {}", positional.most),
                                  positional.name, words.size(), command.usage));
  }
  if (positional.target != nullptr) {
    *positional.target = words;
  }
  return {};
}

/// The verb at the head of the words; takes its one or two words away. nullptr: there is no such verb.
const Verb* take_verb(Arguments& words) {
  for (const std::size_t count : {std::size_t{2}, std::size_t{1}}) {
    if (words.size() < count) {
      continue;
    }
    const std::string name = count == 2 ? words[0] + " " + words[1] : words[0];
    const auto found = std::ranges::find(verbs(), name, &Verb::name);
    if (found != verbs().end()) {
      words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(count));
      return &*found;
    }
  }
  return nullptr;
}

Error unknown_verb(const Arguments& words) {
  std::vector<std::string> second;
  for (const Verb& verb : verbs()) {
    if (verb.name.starts_with(words[0] + " ")) {
      second.emplace_back(verb.name);
    }
  }
  if (!second.empty()) {
    return {.code = ErrorCode::kInvalidArgument,
            .message = fmt::format("busbar {} needs a second word: {}", words[0], join(second, ", "))};
  }
  const std::string suggestion = suggest_verb(words[0]);
  return {.code = ErrorCode::kInvalidArgument,
          .message = fmt::format("there is no verb \"{}\"; {}", words[0],
                                 suggestion.empty() ? "busbar --help lists them" : "try: busbar " + suggestion)};
}

/// One command line on its way from words to a verb's outcome.
class CommandLine {
 public:
  CommandLine(const CliHooks& hooks, Platform& platform)
      : platform_(platform), context_(hooks, {}, platform), global_flags_(global_flags(context_.global)) {
    global_flags_.push_back(switch_flag("--version", "", context_.global.wants_version));
  }

  int run(const Arguments& arguments) {
    auto outcome = parse(arguments);
    apply_look();
    if (outcome && is_answered_) {
      return 0;
    }
    if (outcome) {
      outcome = command_.run(context_);
    }
    if (!outcome) {
      report(outcome.error());
      return command_.mirrors_exit_code || context_.mirrors_exit_code ? kOwnFailure : exit_code(outcome.error().code);
    }
    return *outcome;
  }

 private:
  Result<int> parse(const Arguments& arguments) {
    const auto mark = std::ranges::find(arguments, "--");
    const bool has_mark = mark != arguments.end();
    const std::array first_lists{static_cast<const std::vector<Flag>*>(&global_flags_)};
    TRY_ASSIGN(Arguments words, parse_flags({arguments.begin(), mark}, first_lists, true));
    apply_look();
    if (words.empty() || words[0].starts_with('-')) {
      return without_verb(words);
    }
    Arguments verb_words = words;
    const Verb* verb = take_verb(verb_words);
    if (verb == nullptr) {
      return tl::unexpected(unknown_verb(words));
    }
    command_ = verb->make();
    const std::array lists{static_cast<const std::vector<Flag>*>(&command_.flags), first_lists[0]};
    TRY_ASSIGN(words, parse_flags(verb_words, lists, command_.takes_command && !has_mark));
    if (context_.global.wants_help) {
      apply_look();
      platform_.out.write(command_help(command_, platform_.out));
      is_answered_ = true;
      return 0;
    }
    if (has_mark) {
      context_.command_line.assign(mark + 1, arguments.end());
      context_.is_after_mark = true;
      if (!command_.takes_command) {
        words.insert(words.end(), mark + 1, arguments.end());
        context_.command_line.clear();
      }
    } else if (command_.takes_command) {
      const std::size_t own = std::min(words.size(), command_.positional.most);
      context_.command_line.assign(words.begin() + static_cast<std::ptrdiff_t>(own), words.end());
      words.resize(own);
    }
    TRY(take_positionals(command_, words, lists));
    return 0;
  }

  Result<int> without_verb(const Arguments& words) {
    if (!words.empty()) {
      const std::array lists{static_cast<const std::vector<Flag>*>(&global_flags_)};
      const auto near = nearest_name(words[0], flag_names(lists));
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("busbar has no flag {}{}", words[0], near ? "; did you mean " + *near + "?" : ""));
    }
    if (context_.global.wants_version) {
      platform_.out.line("busbar " + context_.hooks.version);
    } else if (context_.global.wants_help) {
      platform_.out.write(main_help(platform_.out));
    } else {
      platform_.err.write(main_help(platform_.err));
      return make_error(ErrorCode::kInvalidArgument, "which verb?");
    }
    is_answered_ = true;
    return 0;
  }

  void apply_look() {
    if (context_.global.has_no_colour) {
      platform_.out.set_colour(false);
      platform_.err.set_colour(false);
    }
  }

  void report(const Error& error) {
    Output& err = platform_.err;
    if (context_.global.wants_json) {
      err.line(api::to_json(api::ErrorBody{.error = error, .diagnostics = context_.diagnostics}).dump());
      return;
    }
    err.write(context_.diagnostics_text);
    err.line(fmt::format("busbar: {} {}", err.paint("error:", Style::kRed), printable(error.to_string())));
    const auto endpoint = context_.endpoint();
    const std::string hint = endpoint ? hint_for(error, **endpoint) : "";
    if (!hint.empty()) {
      err.line(fmt::format("busbar: {} {}", err.paint("hint:", Style::kCyan), hint));
    }
  }

  Platform& platform_;
  Context context_;
  std::vector<Flag> global_flags_;
  Command command_;
  bool is_answered_ = false;
};

}  // namespace

int run_command_line(const Arguments& arguments, const CliHooks& hooks, Platform& platform) {
  if (!arguments.empty() && arguments[0] == kCompleteWord) {
    return complete_names(arguments, hooks, platform);
  }
  return CommandLine(hooks, platform).run(arguments);
}

int run_cli(int argc, char** argv, const CliHooks& hooks) {
  const Environment environment = [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  const os::SystemClock clock;
  Platform platform{.out = Output::to_descriptor(STDOUT_FILENO, environment),
                    .err = Output::to_descriptor(STDERR_FILENO, environment),
                    .environment = environment,
                    .clock = clock,
                    .input = STDIN_FILENO,
                    .output = STDOUT_FILENO,
                    .error = STDERR_FILENO,
                    .terminal = ::isatty(STDIN_FILENO) == 1 ? STDIN_FILENO : -1};
  return run_command_line({argv + std::min(argc, 1), argv + argc}, hooks, platform);
}

}  // namespace busbar::cli

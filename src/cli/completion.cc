#include "cli/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/text.h"
#include "cli/command.h"

namespace busbar::cli {
namespace {

std::string_view kind_name(Complete complete) {
  switch (complete) {
    case Complete::kJobs:
      return "jobs";
    case Complete::kNodes:
      return "nodes";
    case Complete::kQueues:
      return "queues";
    case Complete::kSecrets:
      return "secrets";
    case Complete::kFiles:
      return "files";
    case Complete::kWords:
      return "words";
    case Complete::kNothing:
      return "";
  }
  return "";
}

bool is_asked_from_server(Complete complete) {
  return complete == Complete::kJobs || complete == Complete::kNodes || complete == Complete::kQueues ||
         complete == Complete::kSecrets;
}

/// "secret set" -> "secret" and "set".
std::vector<std::string> second_words(std::string_view first) {
  std::vector<std::string> words;
  for (const Verb& verb : verbs()) {
    if (verb.name.starts_with(std::string(first) + " ")) {
      words.emplace_back(verb.name.substr(first.size() + 1));
    }
  }
  return words;
}

std::vector<std::string> first_words() {
  std::vector<std::string> words;
  for (const Verb& verb : verbs()) {
    std::string word(verb.name.substr(0, verb.name.find(' ')));
    if (std::ranges::find(words, word) == words.end()) {
      words.push_back(std::move(word));
    }
  }
  return words;
}

std::vector<std::string> names_of(const Flag& flag) {
  std::vector<std::string> names;
  for (const std::string_view name : split(flag.names, ',')) {
    names.emplace_back(name);
  }
  return names;
}

std::vector<Flag> flags_of(const Command& command, GlobalOptions& global) {
  std::vector<Flag> flags = command.flags;
  for (Flag& flag : global_flags(global)) {
    flags.push_back(std::move(flag));
  }
  return flags;
}

/// Shell text that fills COMPREPLY for one kind of value.
std::string bash_values(Complete complete, const std::vector<std::string>& words) {
  if (complete == Complete::kFiles) {
    return "compopt -o default; COMPREPLY=()";
  }
  if (complete == Complete::kWords) {
    return fmt::format("COMPREPLY=($(compgen -W {} -- \"$cur\"))", shell_quote(join(words, " ")));
  }
  if (is_asked_from_server(complete)) {
    return fmt::format("COMPREPLY=($(compgen -W \"$(busbar __complete {} 2>/dev/null)\" -- \"$cur\"))",
                       kind_name(complete));
  }
  return "COMPREPLY=()";
}

std::string bash_verb(const Verb& verb) {
  const Command command = verb.make();
  GlobalOptions global;
  const std::vector<Flag> flags = flags_of(command, global);
  std::string values;
  std::vector<std::string> names;
  for (const Flag& flag : flags) {
    const std::vector<std::string> own = names_of(flag);
    names.insert(names.end(), own.begin(), own.end());
    if (!flag.value.empty()) {
      values += fmt::format("        {}) {}; return ;;\n", join(own, "|"), bash_values(flag.complete, flag.words));
    }
  }
  std::string text = fmt::format("    {})\n", shell_quote(verb.name));
  text += "      case \"$prev\" in\n" + values + "      esac\n";
  text += fmt::format("      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '{}' -- \"$cur\")); else {}; fi ;;\n",
                      join(names, " "), bash_values(command.positional.complete, command.positional.words));
  return text;
}

std::string bash_script() {
  std::string text =
      "# bash completion of busbar; load it by: source <(busbar completion bash)\n"
      "_busbar() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}\n"
      "  COMPREPLY=()\n"
      "  if (( COMP_CWORD == 1 )); then\n";
  text += fmt::format("    COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return\n  fi\n", join(first_words(), " "));
  text += "  case \"$verb\" in\n";
  for (const std::string& word : first_words()) {
    const auto second = second_words(word);
    if (!second.empty()) {
      text += fmt::format(
          "    {0}) if (( COMP_CWORD == 2 )); then COMPREPLY=($(compgen -W '{1}' -- \"$cur\")); return; fi\n"
          "      verb=\"{0} ${{COMP_WORDS[2]}}\" ;;\n",
          word, join(second, " "));
    }
  }
  text += "  esac\n  case \"$verb\" in\n";
  for (const Verb& verb : verbs()) {
    text += bash_verb(verb);
  }
  return text + "  esac\n}\ncomplete -F _busbar busbar\n";
}

/// fish quotes: inside '...' only \\ and \' are special.
std::string fish_quote(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') {
      out += '\\';
    }
    out += c;
  }
  return out + "'";
}

std::string fish_values(Complete complete, const std::vector<std::string>& words) {
  if (complete == Complete::kFiles) {
    return " -F";
  }
  if (complete == Complete::kWords) {
    return " -a " + fish_quote(join(words, " "));
  }
  return is_asked_from_server(complete) ? fmt::format(" -a '(busbar __complete {} 2>/dev/null)'", kind_name(complete))
                                        : "";
}

std::string fish_flag(const Flag& flag, const std::string& condition) {
  std::string text = "complete -c busbar -n " + fish_quote(condition);
  for (const std::string& name : names_of(flag)) {
    text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!flag.value.empty()) {
    text += " -x" + fish_values(flag.complete, flag.words);
  }
  return text + " -d " + fish_quote(flag.help) + "\n";
}

std::string fish_script() {
  std::string text =
      "# fish completion of busbar; load it by: busbar completion fish | source\ncomplete -c busbar -f\n";
  for (const std::string& word : first_words()) {
    const auto second = second_words(word);
    const auto verb = std::ranges::find(verbs(), word, &Verb::name);
    text += fmt::format("complete -c busbar -n __fish_use_subcommand -a {} -d {}\n", word,
                        fish_quote(verb == verbs().end() ? join(second, ", ") : std::string(verb->summary)));
    for (const std::string& next : second) {
      text += fmt::format("complete -c busbar -n '__fish_seen_subcommand_from {}' -a {}\n", word, next);
    }
  }
  for (const Verb& verb : verbs()) {
    const Command command = verb.make();
    std::string condition;
    for (const std::string_view word : split(verb.name, ' ')) {
      condition += fmt::format("{}__fish_seen_subcommand_from {}", condition.empty() ? "" : "; and ", word);
    }
    for (const Flag& flag : command.flags) {
      text += fish_flag(flag, condition);
    }
    if (const std::string values = fish_values(command.positional.complete, command.positional.words);
        !values.empty()) {
      text += fmt::format("complete -c busbar -n {}{}\n", fish_quote(condition), values);
    }
  }
  GlobalOptions global;
  for (const Flag& flag : global_flags(global)) {
    text += fish_flag(flag, "true");
  }
  return text;
}

/// zsh runs bash completions through bashcompinit, so there is one set of rules to keep right.
std::string zsh_script() {
  return "#compdef busbar\n# zsh completion of busbar; load it by: source <(busbar completion zsh)\n"
         "autoload -U +X compinit && compinit -u\nautoload -U +X bashcompinit && bashcompinit\n"
         "compopt() { :; }\n" +
         bash_script();
}

Result<std::vector<std::string>> fetch_names(Context& context, std::string_view kind) {
  TRY_ASSIGN(ApiClient * client, context.client());
  std::vector<std::string> names;
  if (kind == "jobs") {
    TRY_ASSIGN(const Json answer, client->get("/v1/jobs"));
    for (const Json& job : answer["jobs"].items()) {
      names.push_back(std::to_string(job["id"].as_int()));
      names.push_back(job["name"].as_string());
    }
    return names;
  }
  if (kind != "nodes" && kind != "queues" && kind != "secrets") {
    return names;
  }
  TRY_ASSIGN(const Json answer, client->get("/v1/" + std::string(kind)));
  for (const Json& item : answer[kind].items()) {
    names.push_back(item["name"].as_string());
  }
  return names;
}

}  // namespace

std::string completion_script(std::string_view shell) {
  if (shell == "bash") {
    return bash_script();
  }
  return shell == "zsh" ? zsh_script() : fish_script();
}

int complete_names(const std::vector<std::string>& arguments, const CliHooks& hooks, Platform& platform) {
  if (arguments.size() < 2) {
    return 0;
  }
  Context context(hooks, {}, platform);
  if (auto names = fetch_names(context, arguments[1])) {
    std::ranges::sort(*names);
    const auto repeated = std::ranges::unique(*names);
    names->erase(repeated.begin(), repeated.end());
    for (const std::string& name : *names) {
      platform.out.line(name);
    }
  }
  return 0;
}

}  // namespace busbar::cli

#include "cli/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/text.h"

namespace busbar::cli {
namespace {

constexpr int kHelpWidth = 100;
constexpr std::size_t kFlagColumn = 30;

/// Lines of at most `width` columns, each after the first behind `indent` spaces.
std::string wrapped(std::string_view text, std::size_t indent, int width) {
  std::string out;
  std::string line;
  for (const std::string_view word : split(text, ' ')) {
    if (!line.empty() && static_cast<int>(indent) + display_width(line) + 1 + display_width(word) > width) {
      out += line + "\n" + std::string(indent, ' ');
      line.clear();
    }
    if (!line.empty()) {
      line += ' ';
    }
    line += word;
  }
  return out + line;
}

/// "-N, --nodes NODES"; flags without a short name are indented as far as those with one.
std::string flag_names(const Flag& flag) {
  std::string names;
  const auto parts = split(flag.names, ',');
  if (parts.size() == 1 && parts[0].starts_with("--")) {
    names = "    ";
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    names += (i == 0 ? "" : ", ") + std::string(parts[i]);
  }
  return flag.value.empty() ? names : names + " " + flag.value;
}

std::string flag_lines(const std::vector<Flag>& flags) {
  std::string out;
  for (const Flag& flag : flags) {
    std::string line = "  " + flag_names(flag);
    if (line.size() + 2 > kFlagColumn) {
      line += "\n" + std::string(kFlagColumn, ' ');
    } else {
      line.append(kFlagColumn - line.size(), ' ');
    }
    out += line + wrapped(flag.help, kFlagColumn, kHelpWidth) + "\n";
  }
  return out;
}

}  // namespace

std::string main_help(const Output& out) {
  std::string text =
      "busbar runs training, notebooks and inference from one pool of accelerators.\n\n"
      "Usage: busbar [flags] VERB ...\n";
  std::string_view group;
  for (const Verb& verb : verbs()) {
    if (verb.group != group) {
      group = verb.group;
      text += "\n" + out.paint(fmt::format("{}:", group), Style::kBold) + "\n";
    }
    text += fmt::format("  {:<16}{}\n", verb.name, verb.summary);
  }
  GlobalOptions options;
  std::vector<Flag> flags = global_flags(options);
  flags.push_back(switch_flag("--version", "the version of this program", options.wants_version));
  text += "\n" + out.paint("Flags of every verb:", Style::kBold) + "\n" + flag_lines(flags);
  text += "\n" + out.paint("Begin:", Style::kBold) +
          "\n  busbar up                                  a server on this machine, in the foreground"
          "\n  busbar run -- python3 train.py             one command as a job"
          "\n  busbar apply -f examples/digits.yaml --watch\n"
          "\nbusbar VERB --help says more. Exit codes: docs/exit-codes.md\n";
  return text;
}

std::string command_help(const Command& command, const Output& out) {
  std::string text = fmt::format("busbar {}: {}\n\nUsage: {}\n", command.name, command.summary, command.usage);
  if (!command.details.empty()) {
    text += "\n";
    for (const std::string_view paragraph : split(command.details, '\n')) {
      text += wrapped(paragraph, 0, kHelpWidth) + "\n";
    }
  }
  if (!command.flags.empty()) {
    text += "\n" + out.paint("Flags:", Style::kBold) + "\n" + flag_lines(command.flags);
  }
  text += "\n" + out.paint("Flags of every verb:", Style::kBold) +
          " --server --token --state-dir --json --no-color -q/--quiet -h/--help (busbar --help)\n";
  if (!command.examples.empty()) {
    text += "\n" + out.paint("Examples:", Style::kBold) + "\n";
    for (const Example& example : command.examples) {
      text += fmt::format("  {}\n      {}\n", example.command, example.text);
    }
  }
  return text;
}

std::string suggest_verb(std::string_view word) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 22> kOtherWords{{
      {"sbatch", "apply"}, {"srun", "run"},     {"salloc", "dev"},        {"squeue", "ps"},      {"sacct", "ps -a"},
      {"scancel", "stop"}, {"sinfo", "nodes"},  {"scontrol", "describe"}, {"sattach", "attach"}, {"sstat", "describe"},
      {"submit", "apply"}, {"create", "apply"}, {"list", "ps"},           {"ls", "ps"},          {"kill", "stop"},
      {"cancel", "stop"},  {"delete", "stop"},  {"rm", "stop"},           {"get", "ps"},         {"log", "logs"},
      {"start", "up"},     {"shell", "dev"},
  }};
  for (const auto& [other, ours] : kOtherWords) {
    if (word == other) {
      return std::string(ours);
    }
  }
  std::vector<std::string> names;
  for (const Verb& verb : verbs()) {
    names.emplace_back(verb.name);
  }
  return nearest_name(word, names).value_or("");
}

}  // namespace busbar::cli

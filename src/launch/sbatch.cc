#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "launch/internal/document.h"
#include "launch/internal/sbatch_options.h"
#include "launch/job_file.h"

namespace busbar::launch {
namespace {

constexpr std::string_view kPrefix = "#SBATCH";

/// One "--name=value" of a script, where it stood.
struct OptionText {
  std::string name = {};  ///< Long, without dashes.
  std::string value = {};
  bool has_value = false;
  TextPosition position = {};
};

bool is_option_line(std::string_view line) {
  return line.starts_with(kPrefix) &&
         (line.size() == kPrefix.size() || line[kPrefix.size()] == ' ' || line[kPrefix.size()] == '\t');
}

std::string_view without_return(std::string_view line) {
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

/// The words of a #SBATCH line with their columns; quotes hold blanks, a word that begins with # ends the line.
std::vector<std::pair<std::string, int>> words_of(std::string_view line, std::size_t begin) {
  std::vector<std::pair<std::string, int>> words;
  std::size_t at = begin;
  while (at < line.size()) {
    if (line[at] == ' ' || line[at] == '\t') {
      ++at;
      continue;
    }
    if (line[at] == '#') {
      break;
    }
    const int column = static_cast<int>(at) + 1;
    std::string word;
    char quote = 0;
    for (; at < line.size() && (quote != 0 || (line[at] != ' ' && line[at] != '\t')); ++at) {
      if (quote == 0 && (line[at] == '"' || line[at] == '\'')) {
        quote = line[at];
      } else if (line[at] == quote) {
        quote = 0;
      } else {
        word += line[at];
      }
    }
    words.emplace_back(std::move(word), column);
  }
  return words;
}

/// Splits "-J", "-Jname", "--name", "--name=value"; a value that stands in the next word is taken by the caller.
OptionText split_option(std::string_view word) {
  OptionText option;
  if (word.starts_with("--")) {
    const auto equals = word.find('=');
    option.name = std::string(word.substr(2, equals == std::string_view::npos ? equals : equals - 2));
    option.has_value = equals != std::string_view::npos;
    option.value = option.has_value ? std::string(word.substr(equals + 1)) : std::string();
    return option;
  }
  option.name = std::string(internal::long_sbatch_name(word.substr(1, 1)));
  option.has_value = word.size() > 2;
  option.value = std::string(option.has_value ? word.substr(word[2] == '=' ? 3 : 2) : std::string_view());
  return option;
}

/// All options of the script's head, and diagnostics for what cannot be read.
std::vector<OptionText> options_of(std::string_view script, std::vector<Diagnostic>& found) {
  std::vector<OptionText> options;
  int number = 0;
  for (const std::string_view raw : split(script, '\n')) {
    ++number;
    const std::string_view line = without_return(raw);
    if (!line.empty() && line.front() != '#' && !trim(line).empty()) {
      break;  // Slurm too reads options only above the first command.
    }
    if (!is_option_line(line)) {
      continue;
    }
    const auto words = words_of(line, kPrefix.size());
    for (std::size_t index = 0; index < words.size(); ++index) {
      const auto& [word, column] = words[index];
      const TextPosition position = {.line = number, .column = column};
      if (word.size() < 2 || word.front() != '-') {
        found.push_back({.position = position,
                         .message = fmt::format("\"{}\" is not an option", word),
                         .hint = "options are --name=value"});
        continue;
      }
      OptionText option = split_option(word);
      option.position = position;
      if (!option.has_value && internal::sbatch_option_takes_value(option.name) && index + 1 < words.size()) {
        option.value = words[++index].first;
        option.has_value = true;
      }
      option.name = option.name.empty() ? word : option.name;
      options.push_back(std::move(option));
    }
  }
  return options;
}

}  // namespace

bool looks_like_sbatch(std::string_view text) {
  for (const std::string_view raw : split(text, '\n')) {
    const std::string_view line = without_return(raw);
    if (line.starts_with("#!") || is_option_line(line)) {
      return true;
    }
    if (!line.empty() && line.front() != '#') {
      return false;
    }
  }
  return false;
}

ParsedJob parse_sbatch(std::string_view script, const std::vector<std::string>& overrides,
                       std::string_view base_directory) {
  if (!is_valid_utf8(script) || script.find('\0') != std::string_view::npos) {
    return {.diagnostics = {{.position = {.line = 1, .column = 1},
                             .message = "the script is not text",
                             .hint = "it must be UTF-8 without NUL bytes"}}};
  }
  std::vector<Diagnostic> found;
  internal::SbatchDocument document(found);
  for (const OptionText& option : options_of(script, found)) {
    document.add(option.name, option.value, option.has_value, option.position);
  }
  return internal::parse_document(document.finish(script), overrides, base_directory, std::move(found));
}

}  // namespace busbar::launch

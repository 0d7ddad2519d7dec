#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/yaml.h"
#include "launch/internal/field.h"
#include "launch/job_file.h"
#include "model/job.h"

namespace busbar::launch::internal {

/// Walks a parsed document along the field table, fills the spec and collects what is wrong. One file, one reader.
class Reader {
 public:
  /// Reads every key of `map` by the table; unknown keys, and one field under two names, are errors.
  void read_section(const Section& section, const YamlNode& map);
  /// A list of texts or maps, or one of them alone: `read` is called for each item with its index in the path.
  void read_items(const YamlNode& node, const std::function<void(Reader&, const YamlNode&)>& read);

  void add(Diagnostic diagnostic);
  void error(TextPosition position, std::string message, std::string hint = {});
  void error(const YamlNode& node, std::string message, std::string hint = {}) {
    error(node.position, std::move(message), std::move(hint));
  }
  /// For checks across fields: names the field itself.
  void error_at(std::string_view field, std::string message, std::string hint = {});
  void warning_at(std::string_view field, std::string message, std::string hint = {});

  /// The text of a scalar; an error and nullopt for a list or a map. `expected`: "a duration".
  std::optional<std::string> scalar(const YamlNode& node, std::string_view expected);
  /// The value, or its error reported at `node`.
  template <class T>
  std::optional<T> value_or_report(const YamlNode& node, Result<T> result) {
    if (!result) {
      error(node, result.error().to_string());
      return std::nullopt;
    }
    return *std::move(result);
  }

  model::JobSpec& spec() { return spec_; }
  /// The key as it is written in the file: an alias may have a meaning of its own.
  const std::string& key() const { return key_; }
  bool has(std::string_view field) const { return positions_.find(field) != positions_.end(); }
  bool has_errors() const { return has_errors_; }
  const std::map<std::string, TextPosition, std::less<>>& positions() const { return positions_; }
  /// An error that names exactly this field was found.
  bool has_error_at(std::string_view field) const;
  void set_root_position(TextPosition position) { root_ = position; }
  /// All that was found, in file order; what came from overrides (line 0) first.
  std::vector<Diagnostic> take_diagnostics();

 private:
  TextPosition position_of(std::string_view field) const;
  bool is_full() const;

  model::JobSpec spec_;
  std::string path_;
  std::string key_;
  std::map<std::string, TextPosition, std::less<>> positions_;
  TextPosition root_ = {.line = 1, .column = 1};
  std::vector<Diagnostic> diagnostics_;
  std::size_t left_out_ = 0;
  bool has_errors_ = false;
};

/// "a list", "a map", "nothing", "a text".
std::string_view kind_name(const YamlNode& node);

}  // namespace busbar::launch::internal

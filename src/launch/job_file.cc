#include "launch/job_file.h"

#include <utility>

#include "launch/internal/document.h"
#include "launch/internal/field_kinds.h"

namespace busbar::launch {
namespace internal {

ParsedJob parse_document(YamlNode document, const std::vector<std::string>& overrides, std::string_view base_directory,
                         std::vector<Diagnostic> found) {
  Reader reader;
  if (document.position.line > 0) {
    reader.set_root_position(document.position);
  }
  for (const std::string& assignment : overrides) {
    if (std::string wrong = apply_override(document, assignment); !wrong.empty()) {
      reader.error(TextPosition{}, std::move(wrong));
    }
  }
  for (Diagnostic& diagnostic : found) {
    reader.add(std::move(diagnostic));
  }
  if (document.kind == YamlNode::Kind::kNull) {
    reader.error(TextPosition{.line = 1, .column = 1}, "the job file is empty", "begin with name: and run:");
  } else if (document.kind != YamlNode::Kind::kMap) {
    reader.error(document, "a job file is a map of fields", "begin with name: and run:");
  } else {
    reader.read_section(job_section(), document);
    resolve_paths(reader, base_directory);
    check_across_fields(reader);
  }
  ParsedJob parsed{.is_valid = !reader.has_errors()};
  parsed.diagnostics = reader.take_diagnostics();
  parsed.spec = std::move(reader.spec());
  parsed.positions = reader.positions();
  return parsed;
}

}  // namespace internal

ParsedJob parse_job_file(std::string_view text, const std::vector<std::string>& overrides,
                         std::string_view base_directory) {
  auto document = parse_yaml(text);
  if (!document) {
    return {.diagnostics = {{.position = document.error().position, .message = document.error().message}}};
  }
  return internal::parse_document(*std::move(document), overrides, base_directory, {});
}

}  // namespace busbar::launch

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/yaml.h"
#include "launch/internal/field.h"
#include "launch/internal/reader.h"
#include "launch/job_file.h"

namespace busbar::launch::internal {

/// Puts "resources.cpus=4" into the document, in place of what the file says there; positions become line 0. The path
/// is in the file's own words, aliases included. Returns what is wrong with the override, "" if nothing is.
std::string apply_override(YamlNode& document, std::string_view assignment);

/// Rules between fields and the defaults that depend on other fields.
void check_across_fields(Reader& reader);

/// Host paths made absolute and checked: volumes, image, workdir, checkpoint.
void resolve_paths(Reader& reader, std::string_view base_directory);

/// A document to the effective job: overrides, fields, paths, rules. `found` is what the caller has already to say.
ParsedJob parse_document(YamlNode document, const std::vector<std::string>& overrides, std::string_view base_directory,
                         std::vector<Diagnostic> found);

}  // namespace busbar::launch::internal

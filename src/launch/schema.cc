#include "launch/internal/field_kinds.h"
#include "launch/job_file.h"

namespace busbar::launch {

std::string job_file_schema() {
  Json schema = Json::object({{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                              {"title", "busbar job file"},
                              {"description", "What a user submits: docs/job-file.md."}});
  const Json fields = internal::section_schema(internal::job_section());
  for (const auto& [key, value] : fields.members()) {
    schema.set(key, value);
  }
  return schema.dump_pretty();
}

}  // namespace busbar::launch

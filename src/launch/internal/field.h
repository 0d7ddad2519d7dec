#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/yaml.h"
#include "model/job.h"

/// The one declarative table of the job file. Parser, JSON Schema, nearest-name hints and overrides all walk it, so
/// they cannot disagree.
namespace busbar::launch::internal {

class Reader;
struct Section;

/// One key of a map in the job file.
struct Field {
  std::string name = {};
  std::string help = {};
  std::vector<std::string> aliases = {};
  /// What the schema says of the value (draft 2020-12).
  Json schema = {};
  /// Reads a value that is not null into the spec; reports what is wrong.
  std::function<void(Reader&, const YamlNode&)> read = {};
  /// Set for maps with keys of their own.
  const Section* section = nullptr;
  /// False for fields that this version knows but cannot carry out: `read` refuses them, the schema leaves them out.
  bool is_carried_out = true;
};

/// A key of another product with what to write here instead.
struct ForeignKey {
  std::string_view name;
  std::string_view hint;
};

/// The keys that one map may have. Lives for the whole process.
struct Section {
  std::vector<Field> fields = {};
  std::vector<ForeignKey> foreign = {};
  /// The field that keys of the form "vendor.com/name" stand for: Kubernetes' extended resources.
  std::string_view resource_field = {};

  /// By name or alias; nullptr if there is none.
  const Field* find(std::string_view key) const;
  /// What to do about an unknown key: the foreign key's hint, the nearest name, or "".
  std::string hint_for(std::string_view key) const;
};

/// The top of a job file.
const Section& job_section();

// Tables of the nested maps, in fields_nested.cc.
const Section& resources_section();
const Section& restart_section();
const Section& checkpoint_section();
const Section& topology_section();
const Section& efficiency_section();
const Section& volume_section();
const Section& port_section();
const Section& secret_section();
/// In fields_service.cc.
const Section& service_section();

}  // namespace busbar::launch::internal

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/yaml.h"
#include "launch/job_file.h"

namespace busbar::launch::internal {

/// "J" -> "job-name"; "" for letters that sbatch does not have.
std::string_view long_sbatch_name(std::string_view letter);
/// True if the option's value may stand in the next word.
bool sbatch_option_takes_value(std::string_view name);

/// Collects sbatch's options into the document of a job file, each value at its place in the script, so that one
/// parser judges both kinds of file. Borrows `found`, which takes what has no field.
class SbatchDocument {
 public:
  explicit SbatchDocument(std::vector<Diagnostic>& found);
  void add(std::string_view name, std::string_view value, bool has_value, TextPosition position);
  /// Adds what follows from several options together, and the script as `run`.
  YamlNode finish(std::string_view script);

  /// For the table of options.
  void set(std::string_view path, std::string value);
  void error(std::string message, std::string hint = {});
  void warning(std::string message, std::string hint = {});
  void set_tasks(std::string_view value);
  void set_tasks_per_node(std::string_view value);
  void set_gpus_per_node(std::string_view value);
  void set_total_gpus(std::string_view value);
  void set_gpus_per_task(std::string_view value);
  void set_memory_per_cpu(std::string_view value);
  void set_cpus_per_task(std::string_view value);
  void add_dependency(std::string_view value);
  void set_signal(std::string_view value);
  void set_time(std::string_view value);
  void set_memory(std::string_view value);
  void set_export(std::string_view value);

 private:
  struct Number {
    std::int64_t value = 0;
    TextPosition position = {};
  };
  YamlNode& node_at(std::string_view path);
  Number number(std::string_view text, std::string_view what);
  std::int64_t nodes() const;
  void finish_tasks();
  void finish_cards();
  void finish_cpus();

  std::vector<Diagnostic>& found_;
  YamlNode document_;
  TextPosition position_;
  std::string option_;
  Number tasks_, tasks_per_node_, total_gpus_, gpus_per_task_, cpus_per_task_;
  std::string gpu_chip_;
  Number gpus_per_node_;
  std::int64_t memory_per_cpu_mib_ = 0;
  TextPosition memory_per_cpu_position_;
};

}  // namespace busbar::launch::internal

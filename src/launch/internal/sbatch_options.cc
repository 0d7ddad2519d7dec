#include "launch/internal/sbatch_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "model/spec_text.h"

namespace busbar::launch::internal {
namespace {

enum class Effect { kApply, kWarn, kRefuse };

/// One option of sbatch 22.05 (man 1 sbatch). kWarn: leaving it out does not change what the job computes.
struct Option {
  std::string_view name;
  std::string_view letter;
  bool takes_value;
  Effect effect;
  void (*apply)(SbatchDocument&, std::string_view);
  std::string_view hint;
};

constexpr std::string_view kLogsHint = "output is kept by busbar; see: busbar logs";

constexpr std::array kOptions = {
    Option{"job-name", "J", true, Effect::kApply,
           [](SbatchDocument& d, std::string_view v) { d.set("name", to_lower(v)); }, ""},
    Option{"nodes", "N", true, Effect::kApply,
           [](SbatchDocument& d, std::string_view v) {
             std::string text(v);
             const auto dash = text.find('-');
             d.set("nodes", dash == std::string::npos ? text : text.replace(dash, 1, ".."));
           },
           ""},
    Option{"ntasks", "n", true, Effect::kApply, [](SbatchDocument& d, std::string_view v) { d.set_tasks(v); }, ""},
    Option{"ntasks-per-node", "", true, Effect::kApply,
           [](SbatchDocument& d, std::string_view v) { d.set_tasks_per_node(v); }, ""},
    Option{"cpus-per-task", "c", true, Effect::kApply,
           [](SbatchDocument& d, std::string_view v) { d.set_cpus_per_task(v); }, ""},
    Option{"mem", "", true, Effect::kApply, [](SbatchDocument& d, std::string_view v) { d.set_memory(v); }, ""},
    Option{"mem-per-cpu", "", true, Effect::kApply,
           [](SbatchDocument& d, std::string_view v) { d.set_memory_per_cpu(v); }, ""},
    Option{"time", "t", true, Effect::kApply, [](SbatchDocument& d, std::string_view v) { d.set_time(v); }, ""},
    Option{"partition", "p", true, Effect::kApply,
           [](SbatchDocument& d, std::string_view v) { d.set("queue", std::string(v)); }, ""},
    Option{"account", "A", true, Effect::kApply,
           [](SbatchDocument& d, std::string_view v) { d.set("project", std::string(v)); }, ""},
    Option{"array", "a", true, Effect::kApply,
           [](SbatchDocument& d, std::string_view v) {
             // A bare number is one index here, and a count in a job file.
             d.set("array", parse_int(v) ? fmt::format("{}-{}", v, v) : std::string(v));
           },
           ""},
    Option{"gres", "", true, Effect::kApply, [](SbatchDocument& d, std::string_view v) { d.set_gpus_per_node(v); }, ""},
    Option{"gpus-per-node", "", true, Effect::kApply,
           [](SbatchDocument& d, std::string_view v) { d.set_gpus_per_node(v); }, ""},
    Option{"gpus", "G", true, Effect::kApply, [](SbatchDocument& d, std::string_view v) { d.set_total_gpus(v); }, ""},
    Option{"gpus-per-task", "", true, Effect::kApply,
           [](SbatchDocument& d, std::string_view v) { d.set_gpus_per_task(v); }, ""},
    Option{"chdir", "D", true, Effect::kApply,
           [](SbatchDocument& d, std::string_view v) { d.set("workdir", std::string(v)); }, ""},
    Option{"dependency", "d", true, Effect::kApply, [](SbatchDocument& d, std::string_view v) { d.add_dependency(v); },
           ""},
    Option{"export", "", true, Effect::kApply, [](SbatchDocument& d, std::string_view v) { d.set_export(v); }, ""},
    Option{"signal", "", true, Effect::kApply, [](SbatchDocument& d, std::string_view v) { d.set_signal(v); }, ""},
    Option{"requeue", "", false, Effect::kApply, [](SbatchDocument&, std::string_view) {}, ""},
    Option{"container", "", true, Effect::kApply,
           [](SbatchDocument& d, std::string_view v) { d.set("image", "oci:" + std::string(v)); }, ""},
    Option{"nice", "", true, Effect::kWarn, nullptr, "write priority in a job file"},
    Option{"priority", "", true, Effect::kWarn, nullptr, "write priority in a job file"},
    Option{"no-requeue", "", false, Effect::kWarn, nullptr, "a job restarts only if restart.max says so"},
    Option{"output", "o", true, Effect::kWarn, nullptr, kLogsHint},
    Option{"error", "e", true, Effect::kWarn, nullptr, kLogsHint},
    Option{"open-mode", "", true, Effect::kWarn, nullptr, kLogsHint},
    Option{"mail-type", "", true, Effect::kWarn, nullptr, "see: busbar events"},
    Option{"mail-user", "", true, Effect::kWarn, nullptr, "see: busbar events"},
    Option{"comment", "", true, Effect::kWarn, nullptr, ""},
    Option{"verbose", "v", false, Effect::kWarn, nullptr, ""},
    Option{"quiet", "Q", false, Effect::kWarn, nullptr, ""},
    Option{"parsable", "", false, Effect::kWarn, nullptr, "see: busbar apply --json"},
    Option{"hint", "", true, Effect::kWarn, nullptr, ""},
    Option{"threads-per-core", "", true, Effect::kWarn, nullptr, ""},
    Option{"cpu-freq", "", true, Effect::kWarn, nullptr, ""},
    Option{"switches", "", true, Effect::kWarn, nullptr, "write topology: {preferred: leaf} in a job file"},
    Option{"exclusive", "", false, Effect::kRefuse, nullptr, "ask for all cards of a node: --gpus-per-node=8"},
    Option{"qos", "q", true, Effect::kRefuse, nullptr, "leave it out; use --partition for a queue"},
    Option{"constraint", "C", true, Effect::kRefuse, nullptr, "name the chip: --gres=gpu:h100:8"},
    Option{"nodelist", "w", true, Effect::kRefuse, nullptr, "leave it out: the pool decides where a job runs"},
    Option{"exclude", "x", true, Effect::kRefuse, nullptr, "leave it out: the pool decides where a job runs"},
    Option{"reservation", "", true, Effect::kRefuse, nullptr, "leave it out"},
    Option{"licenses", "L", true, Effect::kRefuse, nullptr, "leave it out"},
    Option{"input", "i", true, Effect::kRefuse, nullptr, "redirect in the script: program < file"},
    Option{"wrap", "", true, Effect::kRefuse, nullptr, "write the command below the options"},
    Option{"begin", "b", true, Effect::kRefuse, nullptr, "leave it out"},
    Option{"deadline", "", true, Effect::kRefuse, nullptr, "use --time"},
    Option{"hold", "H", false, Effect::kRefuse, nullptr, "leave it out"},
    Option{"uid", "", true, Effect::kRefuse, nullptr, "leave it out"},
    Option{"gid", "", true, Effect::kRefuse, nullptr, "leave it out"},
    Option{"mem-per-gpu", "", true, Effect::kRefuse, nullptr, "use --mem"},
    Option{"cpus-per-gpu", "", true, Effect::kRefuse, nullptr, "use --cpus-per-task"},
    Option{"tmp", "", true, Effect::kRefuse, nullptr, "leave it out"},
    Option{"propagate", "", true, Effect::kWarn, nullptr, ""},
    Option{"get-user-env", "", false, Effect::kRefuse, nullptr, "set variables in the script"},
};

const Option* find_option(std::string_view name) {
  const auto found =
      std::find_if(kOptions.begin(), kOptions.end(), [name](const Option& option) { return option.name == name; });
  return found == kOptions.end() ? nullptr : &*found;
}

std::string nearest_option(std::string_view name) {
  std::vector<std::string> names;
  for (const Option& option : kOptions) {
    names.emplace_back(option.name);
  }
  const auto nearest = nearest_name(name, names);
  return nearest ? fmt::format("did you mean --{}?", *nearest) : std::string();
}

/// "gpu:h100:8", "gpu:8", "h100:8", "8" -> chip and count; "" counts one.
std::pair<std::string, std::string> split_gres(std::string_view value) {
  auto parts = split(value, ':');
  if (parts.size() > 1 && (parts[0] == "gpu" || parts[0] == "npu")) {
    parts.erase(parts.begin());
  } else if (parts.size() == 1 && (parts[0] == "gpu" || parts[0] == "npu")) {
    return {"", "1"};
  }
  if (parts.size() == 1) {
    return parse_int(parts[0]) ? std::pair{std::string(), std::string(parts[0])}
                               : std::pair{std::string(parts[0]), std::string("1")};
  }
  return {std::string(parts[0]), join(std::vector<std::string>(parts.begin() + 1, parts.end()), ":")};
}

YamlNode scalar_node(std::string text, TextPosition position) {
  YamlNode node;
  node.kind = YamlNode::Kind::kScalar;
  node.scalar = std::move(text);
  node.position = position;
  return node;
}

}  // namespace

std::string_view long_sbatch_name(std::string_view letter) {
  const auto found = std::find_if(kOptions.begin(), kOptions.end(), [letter](const Option& option) {
    return !option.letter.empty() && option.letter == letter;
  });
  return found == kOptions.end() ? std::string_view() : found->name;
}

bool sbatch_option_takes_value(std::string_view name) {
  const Option* option = find_option(name);
  return option != nullptr && option->takes_value;
}

SbatchDocument::SbatchDocument(std::vector<Diagnostic>& found) : found_(found) {
  document_.kind = YamlNode::Kind::kMap;
  document_.position = {.line = 1, .column = 1};
}

void SbatchDocument::add(std::string_view name, std::string_view value, bool has_value, TextPosition position) {
  position_ = position;
  option_ = "--" + std::string(name);
  const Option* option = find_option(name);
  if (option == nullptr) {
    error("unknown option of sbatch", nearest_option(name));
    return;
  }
  if (option->takes_value && (!has_value || value.empty()) && option->effect == Effect::kApply) {
    error("needs a value");
    return;
  }
  switch (option->effect) {
    case Effect::kApply:
      option->apply(*this, value);
      return;
    case Effect::kWarn:
      warning("has no meaning here", std::string(option->hint));
      return;
    case Effect::kRefuse:
      error("not carried out by this version", std::string(option->hint));
      return;
  }
}

void SbatchDocument::error(std::string message, std::string hint) {
  found_.push_back({.position = position_, .field = option_, .message = std::move(message), .hint = std::move(hint)});
}

void SbatchDocument::warning(std::string message, std::string hint) {
  found_.push_back({.position = position_,
                    .field = option_,
                    .message = std::move(message),
                    .hint = std::move(hint),
                    .is_warning = true});
}

YamlNode& SbatchDocument::node_at(std::string_view path) {
  YamlNode* node = &document_;
  for (const std::string_view key : split(path, '.')) {
    auto& entries = node->entries;
    node->kind = YamlNode::Kind::kMap;
    auto found = std::find_if(entries.begin(), entries.end(), [key](const auto& entry) { return entry.key == key; });
    if (found == entries.end()) {
      YamlNode::Entry entry;
      entry.key = std::string(key);
      entry.key_position = position_;
      entry.value.position = position_;
      found = entries.insert(entries.end(), std::move(entry));
    }
    node = &found->value;
  }
  return *node;
}

void SbatchDocument::set(std::string_view path, std::string value) {
  node_at(path) = scalar_node(std::move(value), position_);
}

SbatchDocument::Number SbatchDocument::number(std::string_view text, std::string_view what) {
  const auto value = parse_int(trim(text));
  if (!value || *value < 1 || *value > 1'000'000) {
    error(fmt::format("\"{}\" is not a number of {}", text, what));
    return {};
  }
  return {.value = *value, .position = position_};
}

void SbatchDocument::set_tasks(std::string_view value) {
  tasks_ = number(value, "tasks");
}
void SbatchDocument::set_tasks_per_node(std::string_view value) {
  tasks_per_node_ = number(value, "tasks");
}
void SbatchDocument::set_total_gpus(std::string_view value) {
  const auto [chip, count] = split_gres(value);
  gpu_chip_ = chip;
  total_gpus_ = number(count, "cards");
}
void SbatchDocument::set_gpus_per_task(std::string_view value) {
  const auto [chip, count] = split_gres(value);
  gpu_chip_ = chip;
  gpus_per_task_ = number(count, "cards");
}
void SbatchDocument::set_gpus_per_node(std::string_view value) {
  if (value == "none") {
    return;
  }
  if (value.find(',') != std::string_view::npos) {
    error(fmt::format("\"{}\" asks for several kinds", value), "a job has one kind of card; write gpu:h100:8");
    return;
  }
  const auto [chip, count] = split_gres(value);
  gpu_chip_ = chip;
  gpus_per_node_ = number(count, "cards");
}
void SbatchDocument::set_cpus_per_task(std::string_view value) {
  cpus_per_task_ = number(value, "CPUs");
}

namespace {

/// sbatch's sizes are MiB unless a unit says otherwise.
std::string with_unit(std::string_view value) {
  return parse_int(value) ? std::string(value) + "M" : std::string(value);
}

}  // namespace

void SbatchDocument::set_memory(std::string_view value) {
  if (value == "0") {
    return;  // All of the node's memory: here, no limit.
  }
  set("resources.memory", with_unit(value));
}

void SbatchDocument::set_memory_per_cpu(std::string_view value) {
  const auto bytes = parse_bytes(with_unit(value));
  if (!bytes) {
    error(bytes.error().message);
    return;
  }
  memory_per_cpu_mib_ = bytes->value >> 20;
  memory_per_cpu_position_ = position_;
}

void SbatchDocument::set_time(std::string_view value) {
  if (value == "0" || to_lower(value) == "infinite" || to_lower(value) == "unlimited") {
    return;
  }
  const auto limit = parse_slurm_duration_ms(value);
  if (!limit) {
    error(limit.error().message);
    return;
  }
  set("time_limit", std::to_string(*limit) + "ms");
}

void SbatchDocument::set_export(std::string_view value) {
  for (const std::string_view item : split(value, ',')) {
    const auto equals = item.find('=');
    if (equals != std::string_view::npos && equals > 0) {
      set("env." + std::string(item.substr(0, equals)), std::string(item.substr(equals + 1)));
    } else if (item == "ALL") {
      warning("variables of your own shell are not handed on", "name them: --export=NAME=VALUE");
    } else if (item != "NONE" && item != "NIL") {
      error(fmt::format("\"{}\" of your own shell is not handed on", item), "write --export=NAME=VALUE");
    }
  }
}

void SbatchDocument::set_signal(std::string_view value) {
  const auto at = value.find('@');
  if (at != std::string_view::npos) {
    // Slurm sends it that long before the end; here the job gets that long after it.
    set("checkpoint.grace", std::string(value.substr(at + 1)));
    value = value.substr(0, at);
  }
  const auto colon = value.find(':');
  set("checkpoint.signal", std::string(colon == std::string_view::npos ? value : value.substr(colon + 1)));
}

void SbatchDocument::add_dependency(std::string_view value) {
  YamlNode& list = node_at("after");
  list.kind = YamlNode::Kind::kSequence;
  for (const std::string_view item : split(value, ',')) {
    const auto parts = split(item, ':');
    const std::string_view kind = parts.size() > 1 ? parts[0] : std::string_view();
    if (kind != "afterok" && kind != "afterany") {
      error(fmt::format("\"{}\" is not carried out by this version", item), "use afterok:JOB or afterany:JOB");
      continue;
    }
    for (std::size_t index = 1; index < parts.size(); ++index) {
      list.items.push_back(scalar_node((kind == "afterok" ? "ok:" : "any:") + std::string(parts[index]), position_));
    }
  }
}

std::int64_t SbatchDocument::nodes() const {
  const YamlNode* node = document_.find("nodes");
  const auto range =
      node == nullptr ? Result<std::pair<std::uint32_t, std::uint32_t>>({1, 1}) : model::parse_nodes(node->scalar);
  return range ? range->first : 1;
}

void SbatchDocument::finish_tasks() {
  if (tasks_per_node_.value == 0 && tasks_.value > 0) {
    option_ = "--ntasks";
    position_ = tasks_.position;
    if (document_.find("nodes") == nullptr || tasks_.value % nodes() == 0) {
      tasks_per_node_ = {.value = tasks_.value / nodes(), .position = position_};
    } else {
      error(fmt::format("{} tasks do not divide by {} nodes", tasks_.value, nodes()), "use --ntasks-per-node");
    }
  }
  if (tasks_per_node_.value > 1) {
    position_ = tasks_per_node_.position;
    set("procs_per_node", std::to_string(tasks_per_node_.value));
  }
}

void SbatchDocument::finish_cards() {
  const std::int64_t per_node_tasks = std::max<std::int64_t>(1, tasks_per_node_.value);
  if (gpus_per_node_.value == 0 && gpus_per_task_.value > 0) {
    gpus_per_node_ = {.value = gpus_per_task_.value * per_node_tasks, .position = gpus_per_task_.position};
  }
  if (gpus_per_node_.value == 0 && total_gpus_.value > 0) {
    position_ = total_gpus_.position;
    option_ = "--gpus";
    if (total_gpus_.value % nodes() != 0) {
      error(fmt::format("{} cards do not divide by {} nodes", total_gpus_.value, nodes()), "use --gpus-per-node");
      return;
    }
    gpus_per_node_ = {.value = total_gpus_.value / nodes(), .position = position_};
  }
  if (gpus_per_node_.value > 0) {
    position_ = gpus_per_node_.position;
    const std::string chip = gpu_chip_.empty() ? "" : gpu_chip_ + ":";
    set("resources.accelerators", chip + std::to_string(gpus_per_node_.value));
  }
}

void SbatchDocument::finish_cpus() {
  const std::int64_t per_node =
      std::max<std::int64_t>(1, tasks_per_node_.value) * std::max<std::int64_t>(1, cpus_per_task_.value);
  if (cpus_per_task_.value > 0 || tasks_per_node_.value > 1) {
    position_ = cpus_per_task_.value > 0 ? cpus_per_task_.position : tasks_per_node_.position;
    set("resources.cpus", std::to_string(per_node));
  }
  if (memory_per_cpu_mib_ > 0) {
    position_ = memory_per_cpu_position_;
    option_ = "--mem-per-cpu";
    if (memory_per_cpu_mib_ > (std::int64_t{1} << 40) / per_node) {
      error("too much memory");
      return;
    }
    set("resources.memory", std::to_string(memory_per_cpu_mib_ * per_node) + "M");
  }
}

YamlNode SbatchDocument::finish(std::string_view script) {
  finish_tasks();
  finish_cards();
  finish_cpus();
  position_ = {.line = 1, .column = 1};
  set("run", script.starts_with("#!") ? std::string(script) : "#!/bin/sh\n" + std::string(script));
  set("slurm_environment", "true");
  // What a script says runs once a node, as sbatch runs it; srun's fan-out is the job file's launchers.
  set("launcher", "none");
  return std::move(document_);
}

}  // namespace busbar::launch::internal

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/text.h"
#include "launch/internal/field_kinds.h"
#include "launch/internal/value_readers.h"
#include "model/spec_text.h"

namespace busbar::launch::internal {
namespace {

using model::JobSpec;

constexpr std::int64_t kMiB = 1 << 20;
constexpr std::int64_t kMaxCpus = 4096;

void read_cpus(Reader& reader, const YamlNode& node) {
  const auto text = reader.scalar(node, "a number of CPUs like 4 or 0.5");
  if (!text) {
    return;
  }
  const auto milli = reader.value_or_report(node, parse_milli(*text));
  if (!milli) {
    return;
  }
  if (*milli < 10 || *milli > kMaxCpus * 1000) {
    reader.error(node, fmt::format("\"{}\" CPUs are out of range; use 0.01 to {}", *text, kMaxCpus));
    return;
  }
  reader.spec().resources.cpus = {*milli};
}

/// A figure of a card, kept x 1000.
void read_figure(Reader& reader, const YamlNode& node, std::string_view unit, std::int64_t& into) {
  constexpr std::int64_t kMost = 1'000'000;
  const auto text = reader.scalar(node, fmt::format("a number of {}", unit));
  const auto milli = text ? parse_milli(*text) : Result<std::int64_t>(0);
  if (text && (!milli || *milli <= 0 || *milli > kMost * 1000)) {
    reader.error(node, fmt::format("\"{}\" is no number of {} from 0.001 to {}", *text, unit, kMost),
                 "write the number alone, without a unit");
    return;
  }
  into = milli.value_or(0);
}

/// Classes that a user may choose; the others restart always or never.
const std::vector<std::string>& restart_classes() {
  static const std::vector<std::string> kClasses = {"user", "oom", "time_limit", "preempted", "infrastructure"};
  return kClasses;
}

void read_restart_on(Reader& reader, const YamlNode& node) {
  std::vector<model::ExitClass> classes;
  reader.read_items(node, [&classes](Reader& items, const YamlNode& item) {
    const auto name = read_choice(items, item, restart_classes());
    const auto exit_class = name ? model::exit_class_from_name(*name) : std::nullopt;
    if (exit_class && std::find(classes.begin(), classes.end(), *exit_class) == classes.end()) {
      classes.push_back(*exit_class);
    }
  });
  reader.spec().restart.on = std::move(classes);
}

Json restart_on_schema() {
  Json names = Json::array();
  for (const std::string& name : restart_classes()) {
    names.push(name);
  }
  Json one = Json::object({{"enum", std::move(names)}});
  return schema_any_of({Json::object({{"type", "array"}, {"items", one}}), one});
}

void read_signal(Reader& reader, const YamlNode& node) {
  static const std::vector<std::string> kSignals = {"SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT", "SIGHUP"};
  YamlNode full = node;
  const std::string upper_prefix = to_lower(trim(node.scalar)).substr(0, 3);
  if (node.kind == YamlNode::Kind::kScalar && upper_prefix != "sig") {
    full.scalar = "SIG" + std::string(trim(node.scalar));
  }
  if (auto signal = read_choice(reader, full, kSignals)) {
    reader.spec().checkpoint.signal = *std::move(signal);
  }
}

Field level_field(const char* name, const char* help, model::TopologyRequest::Mode mode) {
  return choice_field(
      {.name = name, .help = help}, {"node", "leaf", "spine"},
      [mode](JobSpec& spec, std::string level) { spec.topology = {.mode = mode, .level = std::move(level)}; });
}

}  // namespace

const Section& resources_section() {
  static const Section kSection = {
      .fields = {custom_field(
                     {.name = "accelerators",
                      .help = "Cards that each node of the gang needs: H100:8, H100:0.5 (a fraction of one card), 8 "
                              "(any chip), cpu:2 (CPU cards).",
                      .aliases = {"accelerator", "gpus", "gpu", "cards"}},
                     accelerators_schema(), read_accelerators),
                 custom_field({.name = "cpus",
                               .help = "CPUs of each task, fractions allowed. Default: one per CPU card, else 1.",
                               .aliases = {"cpu"}},
                              schema_of_types({"number", "string"}), read_cpus),
                 bytes_field({.name = "memory",
                              .help = "Memory limit of each task: 64GiB. Default: none.",
                              .aliases = {"mem", "ram"}},
                             4 * kMiB, [](JobSpec& spec, std::int64_t value) { spec.resources.memory = {value}; }),
                 bytes_field(
                     {.name = "shm_size", .help = "Size of /dev/shm in each task. Default: 64MiB.", .aliases = {"shm"}},
                     kMiB, [](JobSpec& spec, std::int64_t value) { spec.resources.shm_size = {value}; }),
                 refused_field({.name = "disk",
                                .help = "Limit of the private writable layer.",
                                .aliases = {"disk_size", "ephemeral-storage"}},
                               "leave it out; put large files on a volume"),
                 bytes_field({.name = "min_card_memory",
                              .help = "Memory that each card has at least, as its vendor prints it: 40GiB.",
                              .aliases = {"gpu_memory"}},
                             kMiB, [](JobSpec& spec, std::int64_t value) { spec.resources.min_card_memory = {value}; }),
                 custom_field({.name = "min_card_tflops",
                               .help = "Dense TFLOPS (int8: TOPS) that each card has at least at the job's precision."},
                              schema_of_types({"number", "string"}),
                              [](Reader& reader, const YamlNode& node) {
                                read_figure(reader, node, "TFLOPS", reader.spec().resources.min_card_gflops);
                              }),
                 custom_field(
                     {.name = "min_card_link",
                      .help = "GB/s between cards, both directions together, that each card has at least."},
                     schema_of_types({"number", "string"}),
                     [](Reader& reader,
                        const YamlNode&
                            node) { read_figure(reader, node, "GB/s", reader.spec().resources.min_card_link_mbps); })},
      .foreign = {{"limits", "write the amounts here themselves: resources: {cpus: 4, memory: 8GiB}"},
                  {"requests", "write the amounts here themselves: resources: {cpus: 4, memory: 8GiB}"},
                  {"instance_type", "name the chip instead: accelerators: H100:8"},
                  {"cloud", "leave it out: the pool decides where a job runs"},
                  {"region", "leave it out: the pool decides where a job runs"},
                  {"zone", "leave it out: the pool decides where a job runs"},
                  {"use_spot", "leave it out; preemption follows from queue and priority"},
                  {"gres", "write accelerators: 8"}},
      .resource_field = "accelerators"};
  return kSection;
}

const Section& restart_section() {
  static const Section kSection = {
      .fields = {
          integer_field(
              {.name = "max",
               .help = "Restarts after the first attempt. Infrastructure failures and preemptions "
                       "restart by themselves and do not count.",
               .aliases = {"max_restarts", "retries"}},
              0, 1000, [](JobSpec& spec, std::int64_t value) { spec.restart.max = static_cast<std::uint32_t>(value); }),
          custom_field({.name = "on", .help = "Ends that restart: user, oom, time_limit. Default: user, oom."},
                       restart_on_schema(), read_restart_on)}};
  return kSection;
}

const Section& checkpoint_section() {
  static const Section kSection = {
      .fields = {text_field({.name = "path",
                             .help = "Folder in the container, given to the job as BUSBAR_CHECKPOINT_DIR; relative to "
                                     "workdir. Put it on a volume."},
                            [](JobSpec& spec, std::string value) { spec.checkpoint.path = std::move(value); }),
                 duration_field({.name = "every",
                                 .help = "How often the job should save, given to it as BUSBAR_CHECKPOINT_EVERY_S.",
                                 .aliases = {"interval"}},
                                1000, [](JobSpec& spec, std::int64_t value) { spec.checkpoint.every_ms = value; }),
                 custom_field({.name = "signal",
                               .help = "Sent before a stop so that the job may save: SIGUSR1, SIGUSR2, SIGTERM, "
                                       "SIGINT or SIGHUP. Default: SIGTERM only."},
                              schema_of_types({"string"}), read_signal),
                 duration_field({.name = "grace", .help = "Between SIGTERM and SIGKILL. Default: 10s."}, 0,
                                [](JobSpec& spec, std::int64_t value) { spec.checkpoint.grace_ms = value; })}};
  return kSection;
}

const Section& topology_section() {
  using Mode = model::TopologyRequest::Mode;
  static const Section kSection = {
      .fields = {level_field("required", "The gang must fit into one node, leaf or spine.", Mode::kRequired),
                 level_field("preferred", "The gang should fit into one node, leaf or spine.", Mode::kPreferred)}};
  return kSection;
}

const Section& efficiency_section() {
  static const Section kSection = {
      .fields = {count_field({.name = "flops_per_token", .help = "Forward and backward FLOPs of one token: 6e9."},
                             [](JobSpec& spec, std::int64_t value) { spec.efficiency.flops_per_token = value; }),
                 count_field({.name = "flops_per_sample", .help = "Forward and backward FLOPs of one sample."},
                             [](JobSpec& spec, std::int64_t value) { spec.efficiency.flops_per_sample = value; }),
                 count_field({.name = "parameters", .help = "Of the model: 7B. Counts 6 FLOPs a parameter and token."},
                             [](JobSpec& spec, std::int64_t value) { spec.efficiency.parameters = value; }),
                 choice_field({.name = "precision", .help = "Which peak of the chip to compare with."},
                              model::precision_names(),
                              [](JobSpec& spec, std::string value) { spec.efficiency.precision = std::move(value); })}};
  return kSection;
}

const Section& volume_section() {
  static const Section kSection = {
      .fields = {text_field({.name = "source",
                             .help = "Path on the host; ./x is relative to the job file.",
                             .aliases = {"src", "host_path"}},
                            [](JobSpec& spec, std::string value) { spec.volumes.back().source = std::move(value); }),
                 text_field({.name = "target",
                             .help = "Absolute path in the container.",
                             .aliases = {"dst", "destination", "mount_path"}},
                            [](JobSpec& spec, std::string value) { spec.volumes.back().target = std::move(value); }),
                 boolean_field({.name = "read_only", .help = "Default: false.", .aliases = {"readonly", "ro"}},
                               [](JobSpec& spec, bool value) { spec.volumes.back().is_read_only = value; })},
      .foreign = {{"name", "volumes are host paths in this version: source: /data, target: /data"}}};
  return kSection;
}

const Section& port_section() {
  static const Section kSection = {
      .fields = {text_field({.name = "name", .help = "Told to the job as BUSBAR_PORT_<NAME>."},
                            [](JobSpec& spec, std::string value) { spec.ports.back().name = std::move(value); }),
                 integer_field({.name = "port", .help = "Absent: any free one.", .aliases = {"container_port"}}, 1,
                               65'535, [](JobSpec& spec, std::int64_t value) {
                                 spec.ports.back().container_port = static_cast<std::uint16_t>(value);
                               })}};
  return kSection;
}

const Section& secret_section() {
  static const Section kSection = {
      .fields = {text_field({.name = "name", .help = "In the server's secret store; the file is /run/secrets/<name>."},
                            [](JobSpec& spec, std::string value) { spec.secrets.back().name = std::move(value); }),
                 text_field({.name = "env", .help = "Also given as this variable."},
                            [](JobSpec& spec, std::string value) { spec.secrets.back().env = std::move(value); })}};
  return kSection;
}

}  // namespace busbar::launch::internal

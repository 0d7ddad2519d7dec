#include "chip/probe/internal/card_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "base/text.h"

namespace busbar::chip::probe {
namespace {

constexpr std::int64_t kGib = std::int64_t{1} << 30;

/// "32 GT/s x8 of x16"
std::string link_text(const PciDevice& device) {
  if (device.link_width == 0 && device.link_speed == 0) return {};
  std::string text = fmt::format("{} GT/s x{}", format_milli(device.link_speed), device.link_width);
  if (device.max_link_width > device.link_width) text += fmt::format(" of x{}", device.max_link_width);
  if (device.max_link_speed > device.link_speed)
    text += fmt::format(" (up to {} GT/s)", format_milli(device.max_link_speed));
  return text;
}

std::vector<std::pair<std::string, std::int64_t>> peaks_of_model(const ChipModel& model) {
  std::vector<std::pair<std::string, std::int64_t>> peaks;
  if (!may_rank(model.confidence)) return peaks;
  for (const std::string_view precision : precision_names()) {
    if (const auto gflops = model.card_peak_gflops(precision)) peaks.emplace_back(precision, *gflops);
  }
  return peaks;
}

std::optional<std::int64_t> error_count(const PciDevice& device) {
  if (!device.fatal_errors && !device.nonfatal_errors) return std::nullopt;
  return device.fatal_errors.value_or(0) + device.nonfatal_errors.value_or(0);
}

/// "1g.10gb": the catalogue's profile of so many slices whose memory is nearest; "1g" where it has none.
std::string profile_of(const ChipModel* model, const NvmlPartition& partition) {
  const std::string head = fmt::format("{}g", partition.slices);
  const Partition* best = nullptr;
  const auto distance = [&](const Partition& each) { return std::llabs(each.memory.value - partition.memory_bytes); };
  if (model != nullptr) {
    for (const Partition& each : model->partitions) {
      if (each.name.starts_with(head + ".") && (best == nullptr || distance(each) < distance(*best))) best = &each;
    }
  }
  return best != nullptr ? best->name : fmt::format("{}.{}gb", head, (partition.memory_bytes + kGib / 2) / kGib);
}

class CardMaker {
 public:
  explicit CardMaker(CardInput input) : in_(std::move(input)) {
    for (const NvmlDevice& device : in_.nvml.devices) {
      if (device.address == in_.found.device.address) nvml_ = &device;
    }
  }

  CardParts run() {
    SeenCard whole = whole_card();
    if (nvml_ == nullptr || !nvml_->is_partitioned) {
      parts_.cards.push_back(std::move(whole));
    } else if (nvml_->partitions.empty()) {
      if (whole.fault.empty()) whole.fault = "MIG mode is on and no instance is made; make some, or turn it off";
      parts_.cards.push_back(std::move(whole));
    } else {
      for (const NvmlPartition& partition : nvml_->partitions) parts_.cards.push_back(part(whole, partition));
    }
    return std::move(parts_);
  }

 private:
  SeenCard whole_card() {
    const PciDevice& device = in_.found.device;
    const Identity& identity = in_.found.identity;
    const ChipModel* model = identity.is_slice ? nullptr : identity.model;
    SeenCard seen{.fault = in_.nodes.missing, .error_count = error_count(device)};
    engine::ProbedCard& found = seen.found;
    found.card = {.chip = identity.chip(device),
                  .device = "pci:" + device.address,
                  .memory = {device.memory_bytes},
                  .numa_node = device.numa_node};
    found.pci_ids = fmt::format("{:04x}:{:04x} {:04x}:{:04x}", device.vendor, device.device, device.subsystem_vendor,
                                device.subsystem_device);
    found.driver = device.driver;
    found.candidates = identity.candidates;
    found.pci_link = link_text(device);
    if (model != nullptr) {
      found.card.peak_gflops = peaks_of_model(*model);
      if (found.card.memory.value == 0) found.card.memory = model->card_memory();
    }
    found.facts = {.device = found.card.device,
                   .chip = found.card.chip,
                   .family = identity.family == nullptr ? std::string() : identity.family->id,
                   .values = in_.nodes.values,
                   .device_nodes = in_.nodes.own};
    if (const auto uuid = in_.nodes.values.find("uuid"); uuid != in_.nodes.values.end()) {
      found.facts.uuid = uuid->second;
    }
    if (nvml_ != nullptr) add_nvml(found);
    for (const NvmlSnapshot::Failure& failure : in_.nvml.failures) {
      if (failure.address == device.address) seen.failure = failure.detail;
    }
    return seen;
  }

  void add_nvml(engine::ProbedCard& found) const {
    if (!nvml_->uuid.empty()) found.facts.uuid = nvml_->uuid;
    found.facts.values["index"] = std::to_string(nvml_->index);
    if (nvml_->minor >= 0) found.facts.values["minor"] = std::to_string(nvml_->minor);
    if (nvml_->memory_bytes > 0) found.card.memory = {nvml_->memory_bytes};
    found.reading = nvml_->reading;
  }

  SeenCard part(const SeenCard& whole, const NvmlPartition& partition) {
    SeenCard seen = whole;
    engine::ProbedCard& found = seen.found;
    const std::string profile = profile_of(in_.found.identity.model, partition);
    found.card.device = "mig:" + partition.uuid;
    found.card.chip = whole.found.card.chip + "/" + profile;
    found.card.memory = {partition.memory_bytes};
    found.card.peak_gflops.clear();
    found.facts.device = found.card.device;
    found.facts.partition = profile;
    found.facts.uuid = partition.uuid;
    found.facts.values["gi"] = std::to_string(partition.gpu_instance);
    found.facts.values["ci"] = std::to_string(partition.compute_instance);
    const std::string gpu = fmt::format("/proc/driver/nvidia/capabilities/gpu{}/mig/gi{}", found.facts.values["minor"],
                                        partition.gpu_instance);
    add_capability(seen, "gi_cap", gpu + "/access");
    add_capability(seen, "ci_cap", fmt::format("{}/ci{}/access", gpu, partition.compute_instance));
    return seen;
  }

  /// The minor number of the node that lets a container use an instance.
  void add_capability(SeenCard& seen, const std::string& name, const std::string& path) {
    const std::string minor = colon_field(in_.root.read_or_empty(path), "DeviceFileMinor");
    if (parse_int(minor).value_or(-1) < 0) {
      parts_.problems.push_back({.path = path, .message = "names no DeviceFileMinor, so the instance cannot be shown"});
      if (seen.fault.empty()) seen.fault = "its capability node is not known (" + path + ")";
      return;
    }
    seen.found.facts.values[name] = minor;
    const std::string node = "/dev/nvidia-caps/nvidia-cap" + minor;
    if (!in_.root.stat_node(node) && seen.fault.empty()) seen.fault = node + " is missing";
  }

  CardInput in_;
  const NvmlDevice* nvml_ = nullptr;
  CardParts parts_;
};

}  // namespace

CardParts make_cards(CardInput input) {
  return CardMaker(std::move(input)).run();
}

}  // namespace busbar::chip::probe

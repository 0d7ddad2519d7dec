#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "base/test_paths.h"
#include "base/text.h"
#include "base/yaml.h"
#include "chip/builtin_catalogue.h"
#include "chip/probe/fake_host.h"
#include "chip/probe/host_probe.h"
#include "os/test_dir.h"

namespace busbar::chip::probe {
namespace {

const std::string kHosts = std::string(BUSBAR_SOURCE_DIR) + "/tests/data/hosts";
const std::string kGolden = std::string(BUSBAR_SOURCE_DIR) + "/tests/golden/hosts";

std::vector<std::string> host_names() {
  std::vector<std::string> names;
  const std::vector<os::DirEntry> entries = os::list_dir(kHosts).value();
  for (const os::DirEntry& entry : entries) {
    if (entry.name.ends_with(".yaml")) names.push_back(entry.name.substr(0, entry.name.size() - 5));
  }
  return names;
}

std::shared_ptr<const Catalogue> catalogue() {
  return {&builtin_catalogue(), [](const Catalogue*) {}};
}

/// What a person would check by hand, one card a paragraph; without the prefix of the tree.
std::string describe(const engine::Inventory& inventory, const std::string& root) {
  std::string text;
  for (const engine::ProbedCard& found : inventory.cards) {
    const model::Card& card = found.card;
    text += fmt::format("{} {} {}\n", card.index, card.device, card.chip);
    if (!found.candidates.empty()) text += fmt::format("  may be: {}\n", join(found.candidates, ", "));
    if (!found.facts.family.empty()) text += fmt::format("  family: {}\n", found.facts.family);
    text += fmt::format("  {}, numa {}, link group {}{}{}\n",
                        card.memory.value == 0 ? "memory unknown" : format_bytes(card.memory), card.numa_node,
                        card.link_group, found.driver.empty() ? "" : ", driver " + found.driver,
                        found.pci_link.empty() ? "" : ", " + found.pci_link);
    std::string peaks;
    for (const auto& [precision, gflops] : card.peak_gflops) peaks += fmt::format(" {} {}", precision, gflops);
    text += peaks.empty() ? "  no peak\n" : "  GFLOP/s:" + peaks + "\n";
    std::string values;
    for (const auto& [name, value] : found.facts.values) {
      if (name != "bdf") values += fmt::format(" {}={}", name, value);
    }
    if (!values.empty()) text += "  values:" + values + "\n";
    if (!found.facts.device_nodes.empty()) text += "  nodes: " + join(found.facts.device_nodes, " ") + "\n";
    if (card.health != model::CardHealth::kHealthy) text += "  UNHEALTHY: " + found.health_detail + "\n";
  }
  for (const engine::ProbeProblem& problem : inventory.problems) {
    text += fmt::format("problem: {}: {}\n", problem.path, problem.message);
  }
  for (std::size_t at = text.find(root); at != std::string::npos; at = text.find(root)) text.erase(at, root.size());
  return text;
}

struct ScannedHost {
  engine::Inventory inventory = {};
  std::string text = {};
};

ScannedHost scan_host(const std::string& name) {
  const os::TestDir dir;
  const auto text = os::read_file(kHosts + "/" + name + ".yaml", 1 << 20);
  EXPECT_TRUE(text.has_value()) << text.error().to_string();
  const std::string description = text.value_or("");
  const auto host = FakeHost::build(dir.path(), description);
  EXPECT_TRUE(host.has_value()) << name << ": " << host.error().to_string();
  if (!host) return {};
  HostProbeOptions options{.root = dir.path()};
  const auto document = parse_yaml(description);
  const YamlNode* topology = document->find("topology");
  if (topology != nullptr) {
    options.topology_file = dir.file("topology.yaml");
    EXPECT_TRUE(os::write_file_atomic(options.topology_file, topology->scalar).has_value());
  }
  options.offers_cpus = document->find("files") != nullptr && document->find("files")->find("/proc/cpuinfo") != nullptr;
  auto inventory = make_host_probe(options, catalogue())->scan();
  EXPECT_TRUE(inventory.has_value()) << name << ": " << inventory.error().to_string();
  if (!inventory) return {};
  return {.inventory = *inventory, .text = describe(*inventory, dir.path())};
}

TEST(Hosts, AreFoundAsTheirGoldenFilesSay) {
  for (const std::string& name : host_names()) {
    SCOPED_TRACE(name);
    const std::string text = scan_host(name).text;
    const std::string path = kGolden + "/" + name + ".txt";
    if (std::getenv("UPDATE_GOLDEN") != nullptr) {
      ASSERT_TRUE(os::make_dirs(kGolden).has_value());
      ASSERT_TRUE(os::write_file_atomic(path, text, 0644, os::Durability::kCached).has_value());
    }
    EXPECT_EQ(text, os::read_file(path, 1 << 20).value_or("no golden file"));
  }
}

TEST(Hosts, ShowEveryFamilyThatHasPciIds) {
  std::set<std::string> shown;
  for (const std::string& name : host_names()) {
    for (const engine::ProbedCard& card : scan_host(name).inventory.cards) shown.insert(card.facts.family);
  }
  for (const ChipModel& model : builtin_catalogue().models()) {
    const std::string& family = builtin_catalogue().family_of(model).id;
    EXPECT_TRUE(model.pci.empty() || shown.contains(family)) << family;
  }
}

}  // namespace
}  // namespace busbar::chip::probe

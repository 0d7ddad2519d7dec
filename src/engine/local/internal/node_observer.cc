#include "engine/local/internal/node_observer.h"

#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "engine/local/internal/cgroup.h"
#include "os/files.h"

namespace busbar::engine {
namespace {

constexpr std::size_t kMaxFile = 16 << 20;

std::string read_text(const std::string& path) {
  return os::read_file(path, kMaxFile).value_or(std::string());
}

/// The value behind "key ... :" in /proc/cpuinfo and /proc/meminfo; the first one.
std::string field(std::string_view text, std::string_view key) {
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos && trim(line.substr(0, colon)) == key) {
      return std::string(trim(line.substr(colon + 1)));
    }
  }
  return {};
}

/// Our own cgroup's limit, where somebody set one; 0: none.
std::int64_t own_memory_limit() {
  const auto facts = read_cgroup_facts();
  if (!facts) {
    return 0;
  }
  const std::string groups = read_text("/proc/self/cgroup");
  for (const std::string_view line : split(groups, '\n')) {
    const auto parts = split(line, ':');
    if (parts.size() < 3) {
      continue;
    }
    const std::string path(line.substr(parts[0].size() + parts[1].size() + 2));
    std::string file;
    if (facts->is_v2() && parts[1].empty()) {
      file = facts->unified + path + "/memory.max";
    } else if (!facts->is_v2() && parts[1] == "memory" && facts->has("memory")) {
      file = facts->v1.at("memory") + path + "/memory.limit_in_bytes";
    }
    if (const auto limit = file.empty() ? std::nullopt : parse_int(trim(read_text(file)))) {
      return *limit;
    }
  }
  return 0;
}

}  // namespace

Result<MachineFacts> read_machine_facts(const std::string& node_name) {
  MachineFacts facts{.name = node_name};
  if (facts.name.empty()) {
    char name[256] = {};
    ::gethostname(name, sizeof name - 1);
    facts.name = name;
  }
  const std::string total = field(read_text("/proc/meminfo"), "MemTotal");
  facts.memory_bytes = parse_int(total.substr(0, total.find(' '))).value_or(0) * 1024;
  if (const std::int64_t limit = own_memory_limit(); limit > 0) {
    facts.memory_bytes = std::min(facts.memory_bytes, limit);
  }
  return facts;
}

NodeObserved make_node(const MachineFacts& facts, const Inventory& inventory) {
  NodeObserved observed{
      .node = {.id = {1}, .name = facts.name, .cpus = inventory.cpus, .memory = {facts.memory_bytes}}};
  for (const ProbedCard& found : inventory.cards) {
    observed.node.cards.push_back(found.card);
    if (!found.health_detail.empty()) observed.health_details[found.card.index] = found.health_detail;
  }
  return observed;
}

}  // namespace busbar::engine

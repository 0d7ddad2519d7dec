#include "engine/local/internal/node_observer.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "engine/local/internal/cgroup.h"
#include "os/errno_error.h"
#include "os/files.h"

namespace busbar::engine {
namespace {

constexpr std::size_t kMaxFile = 16 << 20;
constexpr const char* kCpuDir = "/sys/devices/system/cpu/cpu";

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

/// How many CPUs "0-1,4" names.
std::uint32_t count_cpus(std::string_view list) {
  std::int64_t count = 0;
  for (const std::string_view part : split(trim(list), ',')) {
    const std::size_t dash = part.find('-');
    const auto first = parse_int(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_int(part.substr(dash + 1));
    count += first && last ? *last - *first + 1 : 0;
  }
  return static_cast<std::uint32_t>(std::max<std::int64_t>(1, count));
}

std::int16_t numa_node_of(std::uint32_t cpu) {
  if (const auto entries = os::list_dir(kCpuDir + std::to_string(cpu))) {
    for (const os::DirEntry& entry : *entries) {
      if (const auto node = entry.name.starts_with("node") ? parse_int(entry.name.substr(4)) : std::nullopt) {
        return static_cast<std::int16_t>(*node);
      }
    }
  }
  return -1;
}

MachineFacts::Cpu read_cpu(std::uint32_t number, std::int64_t fallback_mhz) {
  const std::string dir = kCpuDir + std::to_string(number);
  const auto khz = parse_int(trim(read_text(dir + "/cpufreq/cpuinfo_max_freq")));
  return {.number = number,
          .numa_node = numa_node_of(number),
          .threads_per_core = count_cpus(read_text(dir + "/topology/thread_siblings_list")),
          .max_mhz = khz ? *khz / 1000 : fallback_mhz};
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

std::int64_t fp32_per_clock(std::string_view cpu_flags) {
  const auto flags = split(cpu_flags, ' ');
  const auto has = [&](std::string_view flag) { return std::find(flags.begin(), flags.end(), flag) != flags.end(); };
  constexpr std::int64_t kFmaUnits = 2;
  constexpr std::int64_t kOperationsPerFma = 2;
  if (has("avx512f")) {
    return kFmaUnits * 16 * kOperationsPerFma;
  }
  if (has("fma") && has("avx2")) {
    return kFmaUnits * 8 * kOperationsPerFma;
  }
  return 4 * kOperationsPerFma;  // SSE or NEON: one multiplier and one adder of four lanes
}

Result<MachineFacts> read_machine_facts(const std::string& node_name) {
  MachineFacts facts{.name = node_name};
  if (facts.name.empty()) {
    char name[256] = {};
    ::gethostname(name, sizeof name - 1);
    facts.name = name;
  }
  // Room for the largest machine that the kernel supports.
  constexpr int kMaxCpus = 8192;
  cpu_set_t* mask = CPU_ALLOC(kMaxCpus);
  const std::size_t mask_size = CPU_ALLOC_SIZE(kMaxCpus);
  if (::sched_getaffinity(0, mask_size, mask) != 0) {
    CPU_FREE(mask);
    return os::errno_failure("cannot read which CPUs we may use");
  }
  const std::string cpu_info = read_text("/proc/cpuinfo");
  facts.cpu_flags = field(cpu_info, "flags");
  const std::string mhz_text = field(cpu_info, "cpu MHz");
  const auto mhz = parse_int(std::string_view(mhz_text).substr(0, mhz_text.find('.'))).value_or(0);
  for (int cpu = 0; cpu < kMaxCpus; ++cpu) {
    if (CPU_ISSET_S(static_cast<std::size_t>(cpu), mask_size, mask)) {
      facts.cpus.push_back(read_cpu(static_cast<std::uint32_t>(cpu), mhz));
    }
  }
  CPU_FREE(mask);
  const std::string total = field(read_text("/proc/meminfo"), "MemTotal");
  facts.memory_bytes = parse_int(total.substr(0, total.find(' '))).value_or(0) * 1024;
  if (const std::int64_t limit = own_memory_limit(); limit > 0) {
    facts.memory_bytes = std::min(facts.memory_bytes, limit);
  }
  return facts;
}

model::Node make_node(const MachineFacts& facts, std::uint32_t cpu_cards) {
  model::Node node{.id = {1},
                   .name = facts.name,
                   .cpus = {static_cast<std::int64_t>(facts.cpus.size()) * 1000},
                   .memory = {facts.memory_bytes}};
  if (facts.cpus.empty()) {
    return node;
  }
  const std::size_t count = cpu_cards > 0 ? cpu_cards : facts.cpus.size();
  const std::int64_t per_clock = fp32_per_clock(facts.cpu_flags);
  for (std::size_t i = 0; i < count; ++i) {
    const MachineFacts::Cpu& cpu = facts.cpus[i % facts.cpus.size()];
    model::Card card{.index = static_cast<std::uint16_t>(i),
                     .chip = "cpu",
                     .device = "cpu:" + std::to_string(cpu.number),
                     .numa_node = cpu.numa_node,
                     .link_group = static_cast<std::uint16_t>(std::max<std::int16_t>(0, cpu.numa_node))};
    if (cpu.max_mhz > 0) {
      const std::int64_t gflops = std::max<std::int64_t>(1, per_clock * cpu.max_mhz / 1000 / cpu.threads_per_core);
      card.peak_gflops = {{"fp32", gflops}, {"fp64", std::max<std::int64_t>(1, gflops / 2)}};
    }
    node.cards.push_back(std::move(card));
  }
  return node;
}

}  // namespace busbar::engine

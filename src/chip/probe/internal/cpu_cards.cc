#include "chip/probe/internal/cpu_cards.h"

#include <sched.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"
#include "os/errno_error.h"

namespace busbar::chip::probe {
namespace {

constexpr std::string_view kCpuDir = "/sys/devices/system/cpu/cpu";
/// Room for the largest machine that the kernel supports.
constexpr int kMaxCpus = 8192;

Result<std::vector<std::uint32_t>> allowed_cpus() {
  cpu_set_t* mask = CPU_ALLOC(kMaxCpus);
  const std::size_t size = CPU_ALLOC_SIZE(kMaxCpus);
  if (::sched_getaffinity(0, size, mask) != 0) {
    CPU_FREE(mask);
    return os::errno_failure("cannot read which CPUs we may use");
  }
  std::vector<std::uint32_t> cpus;
  for (int cpu = 0; cpu < kMaxCpus; ++cpu) {
    if (CPU_ISSET_S(static_cast<std::size_t>(cpu), size, mask)) cpus.push_back(static_cast<std::uint32_t>(cpu));
  }
  CPU_FREE(mask);
  return cpus;
}

std::int16_t numa_node_of(const HostRoot& root, const std::string& dir) {
  for (const os::DirEntry& entry : root.list(dir)) {
    const auto node = entry.name.starts_with("node") ? parse_int(entry.name.substr(4)) : std::nullopt;
    if (node && *node >= 0 && *node < 1024) return static_cast<std::int16_t>(*node);
  }
  return -1;
}

CpuFacts::Cpu read_cpu(const HostRoot& root, std::uint32_t number, std::int64_t fallback_mhz) {
  const std::string dir = std::string(kCpuDir) + std::to_string(number);
  const auto khz = parse_int(root.read_or_empty(dir + "/cpufreq/cpuinfo_max_freq"));
  const auto siblings = parse_cpu_list(root.read_or_empty(dir + "/topology/thread_siblings_list"));
  const std::size_t threads = siblings ? siblings->size() : 0;
  return {.number = number,
          .numa_node = numa_node_of(root, dir),
          .threads_per_core = static_cast<std::uint32_t>(std::max<std::size_t>(1, threads)),
          .max_mhz = khz && *khz > 0 ? *khz / 1000 : fallback_mhz};
}

bool has_flag(std::string_view flags, std::string_view flag) {
  for (const std::string_view each : split(flags, ' ')) {
    if (each == flag) return true;
  }
  return false;
}

/// The first model of which this CPU has all flags; nullptr if there is none.
const ChipModel* cpu_model(const Catalogue& catalogue, std::string_view flags) {
  const ChipModel* best = nullptr;
  for (const ChipModel& model : catalogue.models()) {
    const bool fits = !model.cpu_flags.empty() && std::all_of(model.cpu_flags.begin(), model.cpu_flags.end(),
                                                              [&](const auto& flag) { return has_flag(flags, flag); });
    // The first of the file wins: it names the widest unit first.
    if (fits && best == nullptr) best = &model;
  }
  return best;
}

/// GFLOP/s of one hardware thread at so many operations a clock of its core.
std::int64_t gflops(const CpuFacts::Cpu& cpu, std::int64_t per_clock) {
  return std::max<std::int64_t>(1, per_clock * cpu.max_mhz / 1000 / cpu.threads_per_core);
}

}  // namespace

std::int64_t fp32_per_clock(std::string_view flags, std::uint32_t sve_bytes) {
  constexpr std::int64_t kFmaUnits = 2;
  constexpr std::int64_t kOperationsPerFma = 2;
  if (has_flag(flags, "avx512f")) return kFmaUnits * 16 * kOperationsPerFma;
  if (has_flag(flags, "fma") && has_flag(flags, "avx2")) return kFmaUnits * 8 * kOperationsPerFma;
  if (has_flag(flags, "sve") && sve_bytes >= 16) {
    return kFmaUnits * static_cast<std::int64_t>(sve_bytes / 4) * kOperationsPerFma;
  }
  return 4 * kOperationsPerFma;  // SSE or NEON: one multiplier and one adder of four lanes
}

Result<CpuFacts> read_cpu_facts(const HostRoot& root) {
  const CpuInfo info = parse_cpuinfo(root.read("/proc/cpuinfo").value_or(std::string()));
  CpuFacts facts{.flags = info.flags, .name = info.model_name};
  const auto sve = parse_int(root.read_or_empty("/proc/sys/abi/sve_default_vector_length"));
  if (sve && *sve >= 16 && *sve <= 256) facts.sve_bytes = static_cast<std::uint32_t>(*sve);
  std::vector<std::uint32_t> numbers = info.processors;
  if (root.is_this_machine()) {
    TRY_ASSIGN(numbers, allowed_cpus());
  }
  for (const std::uint32_t number : numbers) facts.cpus.push_back(read_cpu(root, number, info.mhz));
  return facts;
}

std::vector<engine::ProbedCard> make_cpu_cards(const CpuFacts& facts, std::uint32_t count, const Catalogue& catalogue) {
  std::vector<engine::ProbedCard> cards;
  if (facts.cpus.empty()) return cards;
  const ChipModel* model = cpu_model(catalogue, facts.flags);
  const std::int64_t per_clock = fp32_per_clock(facts.flags, facts.sve_bytes);
  const std::size_t most = count > 0 ? count : facts.cpus.size();
  for (std::size_t i = 0; i < most; ++i) {
    const CpuFacts::Cpu& cpu = facts.cpus[i % facts.cpus.size()];
    engine::ProbedCard found{
        .card = {.chip = "cpu", .device = "cpu:" + std::to_string(cpu.number), .numa_node = cpu.numa_node}};
    found.facts = {.device = found.card.device, .chip = "cpu", .family = "cpu"};
    if (model != nullptr) found.candidates = {model->id};
    if (cpu.max_mhz > 0) {
      const std::int64_t fp32 = gflops(cpu, per_clock);
      found.card.peak_gflops = {{"fp32", fp32}, {"fp64", std::max<std::int64_t>(1, fp32 / 2)}};
      if (model != nullptr) {
        for (const auto& [precision, operations] : model->ops_per_cycle_per_core) {
          found.card.peak_gflops.emplace_back(precision, gflops(cpu, operations));
        }
      }
    }
    cards.push_back(std::move(found));
  }
  return cards;
}

}  // namespace busbar::chip::probe

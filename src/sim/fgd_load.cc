#include "sim/fgd_load.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/text.h"
#include "sim/csv.h"

namespace busbar::sim {
namespace {

using sched::place::kPackCard;
using sched::place::PackNode;
using sched::place::PackShape;

constexpr std::int64_t kMostMilliCpus = 1'000'000'000;
constexpr std::int64_t kMostMemoryMib = 1'000'000'000;
constexpr std::int64_t kMostCards = 64;
constexpr std::size_t kMostKinds = 64;

std::uint64_t kinds_of(std::string_view spec, const FgdCluster& cluster) {
  if (trim(spec).empty()) {
    return ~std::uint64_t{0};
  }
  std::uint64_t kinds = 0;
  for (const std::string_view model : split(spec, '|')) {
    const auto at = std::ranges::find(cluster.kinds, trim(model));
    if (at != cluster.kinds.end()) {
      kinds |= std::uint64_t{1} << static_cast<unsigned>(at - cluster.kinds.begin());
    }
  }
  return kinds;
}

}  // namespace

Result<FgdCluster> read_fgd_nodes(const std::string& name, std::string_view text) {
  TRY_ASSIGN(CsvReader reader, CsvReader::open(name, text));
  TRY_ASSIGN(const std::size_t cpus, reader.column("cpu_milli"));
  TRY_ASSIGN(const std::size_t memory, reader.column("memory_mib"));
  TRY_ASSIGN(const std::size_t cards, reader.column("gpu"));
  TRY_ASSIGN(const std::size_t model, reader.column("model"));
  FgdCluster cluster;
  while (true) {
    TRY_ASSIGN(const bool has_row, reader.next());
    if (!has_row) {
      break;
    }
    PackNode node;
    TRY_ASSIGN(node.cpus, reader.integer(cpus, 0, kMostMilliCpus));
    TRY_ASSIGN(node.memory, reader.integer(memory, 0, kMostMemoryMib));
    TRY_ASSIGN(const std::int64_t count, reader.integer(cards, 0, kMostCards));
    const std::string_view kind = reader.text(model);
    const auto at = std::ranges::find(cluster.kinds, kind);
    node.kind = static_cast<std::uint16_t>(at - cluster.kinds.begin());
    if (at == cluster.kinds.end()) {
      if (cluster.kinds.size() == kMostKinds) {
        return reader.field_error(model, fmt::format("more than {} models of cards", kMostKinds));
      }
      cluster.kinds.emplace_back(kind);
    }
    node.cards.assign(static_cast<std::size_t>(count), static_cast<std::uint16_t>(kPackCard));
    cluster.card_milli += count * kPackCard;
    cluster.nodes.push_back(std::move(node));
  }
  if (cluster.card_milli == 0) {
    return reader.error("no node has a card; at least one is needed");
  }
  return cluster;
}

Result<FgdPods> read_fgd_pods(const std::string& name, std::string_view text, const FgdCluster& cluster) {
  TRY_ASSIGN(CsvReader reader, CsvReader::open(name, text));
  TRY_ASSIGN(const std::size_t cpus, reader.column("cpu_milli"));
  TRY_ASSIGN(const std::size_t memory, reader.column("memory_mib"));
  TRY_ASSIGN(const std::size_t cards, reader.column("num_gpu"));
  TRY_ASSIGN(const std::size_t milli, reader.column("gpu_milli"));
  std::size_t spec = 0;
  const bool has_spec = reader.has_column("gpu_spec");
  if (has_spec) {
    TRY_ASSIGN(spec, reader.column("gpu_spec"));
  }
  FgdPods load;
  std::map<PackShape, std::uint32_t> index;
  bool has_card_pod = false;
  while (true) {
    TRY_ASSIGN(const bool has_row, reader.next());
    if (!has_row) {
      break;
    }
    PackShape shape;
    TRY_ASSIGN(shape.cpus, reader.integer(cpus, 0, kMostMilliCpus));
    TRY_ASSIGN(shape.memory, reader.integer(memory, 0, kMostMemoryMib));
    TRY_ASSIGN(const std::int64_t count, reader.integer(cards, 0, kMostCards));
    // The lists have 0 here for pods without cards; others need some of each card.
    TRY_ASSIGN(const std::int64_t each, reader.integer(milli, count > 0 ? 1 : 0, kPackCard));
    if (count > 1 && each < kPackCard) {
      return reader.field_error(milli, fmt::format("a part of each of {} cards; parts are of one card", count));
    }
    if (count > 0) {
      has_card_pod = true;
      shape.cards = static_cast<std::uint16_t>(count);
      shape.milli = static_cast<std::uint16_t>(each);
    }
    shape.kinds = has_spec && count > 0 ? kinds_of(reader.text(spec), cluster) : ~std::uint64_t{0};
    const auto [at, is_new] = index.try_emplace(shape, static_cast<std::uint32_t>(load.shapes.size()));
    if (is_new) {
      load.shapes.push_back({.shape = shape});
    }
    ++load.shapes[at->second].weight;
    load.pods.push_back(at->second);
  }
  if (!has_card_pod) {
    return reader.error("no pod asks for a card; at least one is needed");
  }
  return load;
}

}  // namespace busbar::sim

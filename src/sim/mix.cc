#include "sim/mix.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"
#include "base/yaml.h"
#include "model/cluster.h"

namespace busbar::sim {
namespace {

constexpr std::int64_t kMaxJobs = 5'000'000;
constexpr std::int64_t kMaxLengthMs = std::int64_t{10} * 366 * 86'400'000;

/// Numbers from a seed, by splitmix64; the same everywhere.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(mix64(seed)) {}
  std::uint64_t next() { return mix64(state_ += 0x9e3779b97f4a7c15ULL); }
  /// In (0, 1), 53 bits.
  double unit() { return (static_cast<double>(next() >> 11U) + 0.5) / 9007199254740992.0; }
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(most - least + 1));
  }
  /// Standard normal: the sum of twelve, less six (Irwin and Hall). Exact arithmetic, so the same on every machine;
  /// tails end at 6, which the cut of run times hides.
  double normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) {
      sum += unit();
    }
    return sum;
  }

 private:
  std::uint64_t state_;
};

/// e^x by squaring a Taylor series: only multiplications and additions, which IEEE 754 fixes to the last bit, where the
/// C library's exp() may differ between machines.
double exp_of(double x) {
  constexpr int kHalvings = 10;
  const double small = x / 1024;
  double term = 1;
  double sum = 1;
  for (int i = 1; i < 12; ++i) {
    term *= small / i;
    sum += term;
  }
  for (int i = 0; i < kHalvings; ++i) {
    sum *= sum;
  }
  return sum;
}

std::int64_t draw_work_ms(const MixClass& kind, Dice& dice) {
  const double factor = exp_of(dice.normal() * static_cast<double>(kind.spread_milli) / 1000);
  const double ms = static_cast<double>(kind.median_ms) * factor;
  return static_cast<std::int64_t>(
      std::clamp(ms, static_cast<double>(kind.least_ms), static_cast<double>(kind.most_ms)));
}

/// Reads one map of a mix; remembers the first thing that is wrong.
class MapReader {
 public:
  MapReader(const std::string& name, const YamlNode& node) : name_(name), node_(node) {
    if (node.kind != YamlNode::Kind::kMap) {
      fail(node.position, "a map is due here");
    }
  }

  std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t least, std::int64_t most) {
    const YamlNode* value = take(key);
    if (value == nullptr) {
      return fallback;
    }
    const auto number = parse_int(value->scalar);
    if (value->kind != YamlNode::Kind::kScalar || !number || *number < least || *number > most) {
      fail(value->position, fmt::format("{} takes a whole number from {} to {}", key, least, most));
      return least;
    }
    return *number;
  }
  std::int64_t milli(std::string_view key, std::int64_t fallback, std::int64_t least, std::int64_t most) {
    const YamlNode* value = take(key);
    if (value == nullptr) {
      return fallback;
    }
    const auto number = value->kind == YamlNode::Kind::kScalar ? parse_milli(value->scalar)
                                                               : make_error(ErrorCode::kInvalidArgument, "");
    if (!number || *number < least || *number > most) {
      fail(value->position,
           fmt::format("{} takes a number from {} to {}", key, format_milli(least), format_milli(most)));
      return least;
    }
    return *number;
  }
  std::int64_t duration(std::string_view key, std::int64_t fallback, std::int64_t most) {
    const YamlNode* value = take(key);
    if (value == nullptr) {
      return fallback;
    }
    const auto ms = value->kind == YamlNode::Kind::kScalar ? parse_duration_ms(value->scalar)
                                                           : make_error(ErrorCode::kInvalidArgument, "");
    if (!ms || *ms < 1 || *ms > most) {
      fail(value->position, fmt::format("{} takes a time like 90s, 15m, 4h, 2d", key));
      return 1;
    }
    return *ms;
  }
  std::string text(std::string_view key, std::string fallback) {
    const YamlNode* value = take(key);
    return value == nullptr ? std::move(fallback) : value->scalar;
  }
  const YamlNode* take(std::string_view key) {
    seen_.emplace_back(key);
    return node_.find(key);
  }
  void fail(TextPosition position, std::string_view what) {
    if (problem_.empty()) {
      problem_ = fmt::format("{}:{}: {}", name_, position.line, what);
    }
  }
  TextPosition position() const { return node_.position; }

  Result<void> finish() {
    for (const YamlNode::Entry& entry : node_.entries) {
      if (std::ranges::find(seen_, entry.key) == seen_.end()) {
        const auto near = nearest_name(entry.key, seen_);
        fail(entry.key_position,
             fmt::format("there is no key \"{}\"{}", entry.key, near ? "; did you mean " + *near + "?" : ""));
      }
    }
    return problem_.empty() ? Result<void>{} : make_error(ErrorCode::kInvalidArgument, problem_);
  }

 private:
  const std::string& name_;
  const YamlNode& node_;
  std::vector<std::string> seen_;
  std::string problem_;
};

void read_queues(MapReader& reader, MixClass& kind) {
  const YamlNode* queues = reader.take("queues");
  if (queues == nullptr) {
    return;
  }
  kind.queues.clear();
  for (const YamlNode& item : queues->items) {
    if (!model::is_valid_name(item.scalar)) {
      reader.fail(item.position, fmt::format("\"{}\" is no name of a queue", item.scalar));
    }
    kind.queues.push_back(item.scalar);
  }
  if (kind.queues.empty()) {
    reader.fail(queues->position, "queues takes a list of names");
  }
}

Result<MixClass> read_class(const std::string& name, const YamlNode& node) {
  MapReader reader(name, node);
  MixClass kind;
  kind.name = reader.text("name", "");
  kind.weight_milli = reader.milli("weight", 1000, 1, 1'000'000'000);
  kind.nodes = static_cast<std::uint32_t>(reader.integer("nodes", 1, 1, 100'000));
  kind.milli_per_node = reader.milli("cards", 1000, 1, 4'096'000);
  if (kind.milli_per_node > 1000 && kind.milli_per_node % 1000 != 0) {
    reader.fail(reader.position(), "cards takes a fraction of one card or whole cards");
  }
  kind.median_ms = reader.duration("median", 3'600'000, kMaxLengthMs);
  kind.spread_milli = reader.milli("spread", 1000, 0, 4000);
  kind.least_ms = reader.duration("least", 60'000, kMaxLengthMs);
  kind.most_ms = reader.duration("most", 7 * 86'400'000LL, kMaxLengthMs);
  if (kind.least_ms > kind.most_ms) {
    reader.fail(reader.position(), "least is more than most");
  }
  kind.limited_percent = reader.integer("limited_percent", 100, 0, 100);
  kind.limit_least_percent = reader.integer("limit_least_percent", 110, 100, 10'000);
  kind.limit_most_percent = reader.integer("limit_most_percent", 300, 100, 10'000);
  if (kind.limit_least_percent > kind.limit_most_percent) {
    reader.fail(reader.position(), "limit_least_percent is more than limit_most_percent");
  }
  kind.checkpoint_ms = reader.duration("checkpoint", 0, kMaxLengthMs);
  kind.level = reader.text("topology", "");
  if (!kind.level.empty() && kind.level != "node" && kind.level != "leaf" && kind.level != "spine") {
    reader.fail(reader.position(), "topology takes node, leaf or spine");
  }
  read_queues(reader, kind);
  TRY(reader.finish());
  return kind;
}

/// Mean run time by drawing, since cuts leave no formula. Its own seed, so that the load of a mix is one number.
double mean_work_ms(const MixClass& kind) {
  constexpr int kDraws = 20'000;
  Dice dice(0x6d6978);
  double sum = 0;
  for (int i = 0; i < kDraws; ++i) {
    sum += static_cast<double>(draw_work_ms(kind, dice));
  }
  return sum / kDraws;
}

TraceJob draw_job(const MixClass& kind, Trace& trace, Dice& dice) {
  TraceJob job{.work_ms = draw_work_ms(kind, dice),
               .nodes = kind.nodes,
               .milli_per_node = kind.milli_per_node,
               .checkpoint_ms = kind.checkpoint_ms,
               .level = kind.level};
  job.queue = trace.queue_index(
      kind.queues[static_cast<std::size_t>(dice.between(0, static_cast<std::int64_t>(kind.queues.size()) - 1))]);
  const std::int64_t percent = dice.between(kind.limit_least_percent, kind.limit_most_percent);
  job.time_limit_ms = dice.between(0, 99) < kind.limited_percent ? job.work_ms / 100 * percent + 1000 : 0;
  return job;
}

}  // namespace

Result<Mix> read_mix(const std::string& name, std::string_view text) {
  const auto document = parse_yaml(text);
  if (!document) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{}:{}: {}", name, document.error().position.line, document.error().message));
  }
  MapReader reader(name, *document);
  Mix mix{.name = name};
  mix.cards = static_cast<std::uint32_t>(reader.integer("cards", 1000, 1, 1'000'000));
  mix.cards_per_node = static_cast<std::uint32_t>(reader.integer("cards_per_node", 8, 1, 4096));
  mix.nodes_per_leaf = static_cast<std::uint32_t>(reader.integer("nodes_per_leaf", 8, 1, 1'000'000));
  mix.leaves_per_spine = static_cast<std::uint32_t>(reader.integer("leaves_per_spine", 8, 1, 1'000'000));
  mix.length_ms = reader.duration("length", 7 * 86'400'000LL, kMaxLengthMs);
  mix.load_percent = reader.integer("load_percent", 100, 1, 10'000);
  const YamlNode* classes = reader.take("classes");
  if (classes == nullptr || classes->items.empty()) {
    reader.fail(reader.position(), "classes takes a list of kinds of jobs");
  }
  TRY(reader.finish());
  for (const YamlNode& item : classes->items) {
    TRY_ASSIGN(MixClass kind, read_class(name, item));
    mix.classes.push_back(std::move(kind));
  }
  return mix;
}

Trace make_trace(const Mix& mix, std::uint64_t seed) {
  Trace trace{.name = fmt::format("{} seed {}", mix.name, seed), .users = {"user"}};
  double weights = 0;
  double milli_ms_a_job = 0;
  for (const MixClass& kind : mix.classes) {
    const auto weight = static_cast<double>(kind.weight_milli);
    weights += weight;
    milli_ms_a_job +=
        weight * static_cast<double>(kind.nodes) * static_cast<double>(kind.milli_per_node) * mean_work_ms(kind);
  }
  milli_ms_a_job /= weights;
  const double asked = static_cast<double>(mix.cards) * 1000 * static_cast<double>(mix.length_ms) *
                       static_cast<double>(mix.load_percent) / 100;
  const auto count = static_cast<std::int64_t>(std::min(asked / milli_ms_a_job, static_cast<double>(kMaxJobs)));
  Dice dice(seed);
  for (std::int64_t i = 0; i < count; ++i) {
    // Times of a Poisson process, given their number, are independent and even.
    const auto submit_ms = static_cast<TimeMs>(dice.unit() * static_cast<double>(mix.length_ms));
    double mark = dice.unit() * weights;
    std::size_t index = 0;
    while (index + 1 < mix.classes.size() && mark >= static_cast<double>(mix.classes[index].weight_milli)) {
      mark -= static_cast<double>(mix.classes[index].weight_milli);
      ++index;
    }
    TraceJob job = draw_job(mix.classes[index], trace, dice);
    job.submit_ms = submit_ms;
    trace.jobs.push_back(std::move(job));
  }
  normalise(trace);
  return trace;
}

}  // namespace busbar::sim

#include "chip/match.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace busbar::chip {
namespace {

constexpr std::int64_t kPartsPerMillion = 1'000'000;

/// The peak that ranks: at the precision, or for training at bf16 and else fp16.
std::optional<std::int64_t> ranking_peak(const ChipModel& model, std::string_view precision) {
  if (!may_rank(model.confidence)) {
    return std::nullopt;
  }
  if (!precision.empty()) {
    return model.card_peak_gflops(precision);
  }
  const auto bf16 = model.card_peak_gflops("bf16");
  return bf16 ? bf16 : model.card_peak_gflops("fp16");
}

/// What keeps the model from meeting the needs; "" if nothing does.
std::string shortfall(const ChipModel& model, const CardNeeds& needs, bool is_named_exactly) {
  const auto peak = model.card_peak_gflops(needs.precision);
  if (!needs.precision.empty() && !peak && !is_named_exactly) {
    return fmt::format("has no known {} peak", needs.precision);
  }
  if (needs.gflops > 0 && peak.value_or(0) < needs.gflops) {
    return peak ? fmt::format("has {} TFLOPS", format_milli(*peak))
                : fmt::format("has no known {} peak", needs.precision);
  }
  if (model.card_memory() < needs.memory) {
    return model.memory_milli_gb ? fmt::format("has {}", format_bytes(model.card_memory()))
                                 : "has no known memory size";
  }
  if (needs.link_mbps > 0 && model.link_mbps.value_or(0) < needs.link_mbps) {
    return model.link_mbps ? fmt::format("has a link of {} GB/s", format_milli(*model.link_mbps))
                           : "has no known card-to-card bandwidth";
  }
  return {};
}

bool is_any(std::string_view name) {
  return name.empty() || normal_name(name) == "any";
}

Result<std::vector<const ChipModel*>> models_of(const Catalogue& catalogue, std::string_view name) {
  if (!is_any(name)) {
    auto models = catalogue.named(name);
    if (models.empty()) {
      const std::vector<std::string> names = catalogue.names();
      const auto nearest = nearest_name(normal_name(name), names);
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("no chip is called \"{}\"; {}busbar chips lists them", name,
                                    nearest ? fmt::format("did you mean \"{}\"? ", *nearest) : ""));
    }
    return models;
  }
  std::vector<const ChipModel*> all;
  for (const ChipModel& model : catalogue.models()) {
    if (catalogue.family_of(model).chip_class != "cpu") {
      all.push_back(&model);
    }
  }
  return all;
}

struct Found {
  const ChipModel* model;
  std::int64_t peak;  ///< 0: does not rank.
};

/// Ids that several models share, where all of them are among the found: a card that says no more is good enough.
void add_undecided(const Catalogue& catalogue, const std::vector<Found>& found, std::int64_t best,
                   std::vector<Match>& matches) {
  for (const Found& one : found) {
    for (const PciId& id : one.model->pci) {
      const auto sharers = catalogue.candidates(id.vendor, id.device);
      if (sharers.size() < 2 || sharers.front() != one.model) {
        continue;  // Unshared, or its turn comes with its first sharer.
      }
      std::int64_t slowest = one.peak;
      const bool all_found = std::all_of(sharers.begin(), sharers.end(), [&](const ChipModel* sharer) {
        const auto at =
            std::find_if(found.begin(), found.end(), [sharer](const Found& other) { return other.model == sharer; });
        slowest = at == found.end() ? slowest : std::min(slowest, at->peak);
        return at != found.end();
      });
      const std::string chip = undecided_chip(id.vendor, id.device);
      const bool is_known =
          std::any_of(matches.begin(), matches.end(), [&](const Match& other) { return other.chip == chip; });
      if (all_found && !is_known) {
        matches.push_back({.chip = chip, .speed_ppm = best == 0 ? 0 : slowest * kPartsPerMillion / best});
      }
    }
  }
}

}  // namespace

Result<std::vector<Match>> match(const Catalogue& catalogue, std::string_view name, const CardNeeds& needs) {
  if (parse_undecided_chip(name) && needs.is_empty()) {
    return std::vector<Match>{{.chip = std::string(name)}};
  }
  TRY_ASSIGN(const std::vector<const ChipModel*> models, models_of(catalogue, name));
  std::vector<Found> found;
  std::string first_shortfall;
  for (const ChipModel* model : models) {
    const std::string missing = shortfall(*model, needs, !is_any(name) && models.size() == 1);
    if (missing.empty()) {
      found.push_back({.model = model, .peak = ranking_peak(*model, needs.precision).value_or(0)});
    } else if (first_shortfall.empty()) {
      first_shortfall = fmt::format("{} {}", model->id, missing);
    }
  }
  if (found.empty()) {
    return make_error(ErrorCode::kInfeasible,
                      fmt::format("none of {} chip{} called \"{}\" meets what the job asks of a card: {}{}",
                                  models.size(), models.size() == 1 ? "" : "s", is_any(name) ? "any" : name,
                                  first_shortfall, models.size() > 1 ? " ..." : ""));
  }
  std::stable_sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.peak > b.peak; });
  const std::int64_t best = found.front().peak;
  std::vector<Match> matches;
  for (const Found& one : found) {
    matches.push_back({.chip = one.model->id, .speed_ppm = best == 0 ? 0 : one.peak * kPartsPerMillion / best});
  }
  add_undecided(catalogue, found, best, matches);
  std::stable_sort(matches.begin(), matches.end(),
                   [](const Match& a, const Match& b) { return a.speed_ppm > b.speed_ppm; });
  return matches;
}

std::string_view denominator_name(Denominator::Kind kind) {
  return kind == Denominator::Kind::kMeasuredGemm ? "measured-GEMM" : "nominal-dense";
}

std::string measured_key(std::string_view precision) {
  return fmt::format("{} {}", denominator_name(Denominator::Kind::kMeasuredGemm), precision);
}

std::optional<Denominator> denominator_for(const Catalogue& catalogue, std::string_view chip, const Peaks& card_peaks,
                                           std::string_view precision) {
  const auto own = [&card_peaks](std::string_view key) -> std::optional<std::int64_t> {
    const auto at =
        std::find_if(card_peaks.begin(), card_peaks.end(), [key](const auto& peak) { return peak.first == key; });
    return at == card_peaks.end() ? std::nullopt : std::optional(at->second);
  };
  if (const auto nominal = own(precision)) {
    return Denominator{.kind = Denominator::Kind::kNominalDense, .gflops = *nominal};
  }
  const ChipModel* model = catalogue.find(chip);
  if (const auto nominal = model == nullptr ? std::nullopt : model->card_peak_gflops(precision)) {
    return Denominator{.kind = Denominator::Kind::kNominalDense, .gflops = *nominal};
  }
  const auto measured = own(measured_key(precision));
  return measured ? std::optional(Denominator{.kind = Denominator::Kind::kMeasuredGemm, .gflops = *measured})
                  : std::nullopt;
}

}  // namespace busbar::chip

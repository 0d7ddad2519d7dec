#include "control/chip_requests.h"

#include <algorithm>

#include "base/text.h"

namespace busbar::control {
namespace {

constexpr std::string_view kCpu = "cpu";

bool is_any(const model::AcceleratorRequest& request) {
  return request.chip.empty() || to_lower(request.chip) == "any";
}

Result<std::vector<std::string>> chips_for(const chip::Catalogue& catalogue, const model::AcceleratorRequest& request,
                                           const chip::CardNeeds& needs) {
  if (to_lower(request.chip) == kCpu) {
    return std::vector<std::string>{std::string(kCpu)};
  }
  if (is_any(request) && needs.is_empty()) {
    return std::vector<std::string>{""};
  }
  TRY_ASSIGN(const std::vector<chip::Match> matches, chip::match(catalogue, request.chip, needs));
  std::vector<std::string> chips;
  for (const chip::Match& match : matches) chips.push_back(match.chip);
  return chips;
}

}  // namespace

std::vector<model::AcceleratorRequest> requested_cards(const model::JobSpec& spec) {
  if (!spec.any_of.empty()) return spec.any_of;
  if (spec.resources.accelerators) return {*spec.resources.accelerators};
  return {};
}

chip::CardNeeds card_needs(const model::JobSpec& spec, const model::AcceleratorRequest& request) {
  return {.precision = request.precision.empty() ? spec.precision : request.precision,
          .memory = spec.resources.min_card_memory,
          .gflops = spec.resources.min_card_gflops,
          .link_mbps = spec.resources.min_card_link_mbps};
}

Result<std::vector<model::AcceleratorRequest>> expand_accelerators(const chip::Catalogue& catalogue,
                                                                   const model::JobSpec& spec) {
  std::vector<model::AcceleratorRequest> expanded;
  for (const model::AcceleratorRequest& request : requested_cards(spec)) {
    TRY_ASSIGN(const std::vector<std::string> chips, chips_for(catalogue, request, card_needs(spec, request)));
    for (const std::string& chip : chips) {
      const bool is_known = std::any_of(expanded.begin(), expanded.end(), [&](const model::AcceleratorRequest& other) {
        return other.chip == chip && other.per_node == request.per_node;
      });
      if (!is_known) expanded.push_back({.chip = chip, .per_node = request.per_node});
    }
  }
  return expanded;
}

void check_chips(const chip::Catalogue& catalogue, launch::ParsedJob& job) {
  const std::string field = job.spec.any_of.empty() ? "resources.accelerators" : "any_of";
  const auto position = job.positions.find(field);
  for (const model::AcceleratorRequest& request : requested_cards(job.spec)) {
    const auto chips = chips_for(catalogue, request, card_needs(job.spec, request));
    if (chips) continue;
    job.diagnostics.push_back({.position = position == job.positions.end() ? TextPosition{} : position->second,
                               .field = field,
                               .message = chips.error().message});
    job.is_valid = false;
  }
}

}  // namespace busbar::control

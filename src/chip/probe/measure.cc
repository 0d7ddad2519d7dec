#include "chip/probe/measure.h"

#include <fmt/format.h>

#include "chip/probe/internal/gemm_cuda.h"

namespace busbar::chip::probe {

Result<GemmRun> measure_card(const engine::ProbedCard& card, const MeasureOptions& options) {
  const auto address = card.facts.values.find("bdf");
  if (card.card.health != model::CardHealth::kHealthy) {
    return make_error(ErrorCode::kFailedPrecondition,
                      fmt::format("card {} is unhealthy: {}", card.card.index, card.health_detail));
  }
  if (card.facts.family != "nvidia" || !card.facts.partition.empty() || address == card.facts.values.end()) {
    return make_error(ErrorCode::kUnsupported,
                      fmt::format("no library is known that multiplies on card {} ({}); CPUs and whole NVIDIA cards "
                                  "can be measured",
                                  card.card.index, card.card.chip));
  }
  auto by_cublas = measure_by_cublas(address->second, options);
  if (by_cublas || options.python == "none" || card.facts.uuid.empty()) return by_cublas;
  auto by_torch = measure_by_torch(card.facts.uuid, options);
  if (by_torch) return by_torch;
  return with_context(fmt::format("neither CUDA's libraries nor PyTorch are here ({})", by_cublas.error().to_string()),
                      by_torch.error());
}

}  // namespace busbar::chip::probe

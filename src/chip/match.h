#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "chip/catalogue.h"

namespace busbar::chip {

/// What a job asks of each of its cards, beside their name. Zero and "" ask for nothing.
struct CardNeeds {
  std::string precision = {};  ///< The card must be known to have it; see `match`.
  Bytes memory = {};           ///< At least, nominal.
  std::int64_t gflops = 0;     ///< At least, dense, at `precision`.
  std::int64_t link_mbps = 0;  ///< At least, between cards, MB/s.
  bool is_empty() const { return precision.empty() && memory.value == 0 && gflops == 0 && link_mbps == 0; }
  friend bool operator==(const CardNeeds&, const CardNeeds&) = default;
};

/// A chip that would do.
struct Match {
  std::string chip = {};       ///< Model id, or `undecided_chip` of an id whose every candidate would do.
  std::int64_t speed_ppm = 0;  ///< Of the fastest match, which has 1,000,000; 0: not known well enough to rank.
  friend bool operator==(const Match&, const Match&) = default;
};

/// The chips that a name means ("" or "any": every accelerator) and that meet the needs, best first: by the dense peak
/// at the job's precision (bf16, else fp16, where it names none) where its confidence may rank, then the others as
/// the catalogue has them. A figure that is not known meets no need. Only the precision of a model that is named
/// exactly is not questioned: no public figure does not mean that the card cannot.
///
/// kInvalidArgument with the nearest name for an unknown name; kInfeasible, with what the named models have, if none
/// meets the needs. Pure, integers only. Cost: O(models).
Result<std::vector<Match>> match(const Catalogue& catalogue, std::string_view name, const CardNeeds& needs);

/// The peak of one card that a job's efficiency is compared with, by name: a figure without its denominator says
/// nothing.
struct Denominator {
  enum class Kind { kNominalDense, kMeasuredGemm };
  Kind kind = Kind::kNominalDense;
  std::int64_t gflops = 0;
  friend bool operator==(const Denominator&, const Denominator&) = default;
};
/// "nominal-dense", "measured-GEMM".
std::string_view denominator_name(Denominator::Kind kind);

/// In a card's peaks, what GEMM reached on it stands under "measured-GEMM PRECISION".
std::string measured_key(std::string_view precision);

/// For a card of this chip with these peaks of its own: its nominal peak at the precision, else the catalogue's, else
/// what was measured; nullopt if none is known. `chip` may be any name.
std::optional<Denominator> denominator_for(const Catalogue& catalogue, std::string_view chip, const Peaks& card_peaks,
                                           std::string_view precision);

}  // namespace busbar::chip

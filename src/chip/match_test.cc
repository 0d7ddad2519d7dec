#include "chip/match.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "chip/builtin_catalogue.h"

namespace busbar::chip {
namespace {

std::vector<std::string> chips(std::string_view name, const CardNeeds& needs = {}) {
  const auto matches = match(builtin_catalogue(), name, needs);
  EXPECT_TRUE(matches.has_value()) << (matches ? "" : matches.error().message);
  std::vector<std::string> result;
  for (const Match& one : matches.value_or(std::vector<Match>{})) {
    result.push_back(one.chip);
  }
  return result;
}

using Chips = std::vector<std::string>;

TEST(Match, ANameOfSeveralModelsGivesTheFastestFirst) {
  EXPECT_EQ(chips("H100"), (Chips{"nvidia-h100-sxm5", "nvidia-h100-nvl", "nvidia-h100-pcie"}));
  EXPECT_EQ(chips("h100-pcie"), Chips{"nvidia-h100-pcie"});
}

TEST(Match, SpeedIsRelativeToTheFastestInPartsPerMillion) {
  const auto matches = match(builtin_catalogue(), "H100", {}).value();
  EXPECT_EQ(matches[0].speed_ppm, 1'000'000);
  EXPECT_EQ(matches[1].speed_ppm, 835'500LL * 1'000'000 / 989'500);
  EXPECT_EQ(matches[2].speed_ppm, 756'000LL * 1'000'000 / 989'500);
}

TEST(Match, AKubernetesResourceMeansEveryModelOfItsFamilyAndNoOther) {
  const Catalogue& catalogue = builtin_catalogue();
  for (const auto& [name, family] : std::vector<std::pair<const char*, const char*>>{
           {"nvidia.com/gpu", "nvidia"}, {"amd.com/gpu", "amd-instinct"}, {"cambricon.com/mlu", "cambricon"}}) {
    const auto count = std::count_if(catalogue.models().begin(), catalogue.models().end(),
                                     [&](const ChipModel& model) { return catalogue.family_of(model).id == family; });
    std::ptrdiff_t models = 0;
    for (const std::string& chip : chips(name)) {
      const ChipModel* model = catalogue.find(chip);
      models += model != nullptr ? 1 : 0;
      EXPECT_TRUE(model == nullptr || catalogue.family_of(*model).id == family) << chip;
    }
    EXPECT_EQ(models, count) << name;
  }
}

TEST(Match, ACardThatIsNotSettledWillDoWhereEveryCandidateWould) {
  const Chips all = chips("910B");
  EXPECT_NE(std::find(all.begin(), all.end(), "pci-19e5-d802"), all.end());
  const Chips large = chips("910B", {.memory = {48LL << 30}});
  EXPECT_EQ(large, (Chips{"ascend-910b2", "ascend-910b3"})) << "a 910B4 of 32 GB may hide behind the id";
}

TEST(Match, PrecisionFiltersAndACommunityFigureNeverRanks) {
  const Chips int8 = chips("hygon", {.precision = "int8"});
  EXPECT_EQ(int8, (Chips{"hygon-k100", "hygon-k100-ai", "hygon-bw200"}));
  const auto hygon = match(builtin_catalogue(), "hygon", {.precision = "int8"});
  for (const Match& one : hygon.value()) {
    EXPECT_EQ(one.speed_ppm, 0) << one.chip;
  }
  const auto any = match(builtin_catalogue(), "", {.precision = "fp8"}).value();
  const auto rank_of = [&](std::string_view chip) {
    return std::find_if(any.begin(), any.end(), [&](const Match& one) { return one.chip == chip; }) - any.begin();
  };
  EXPECT_LT(rank_of("nvidia-b200"), rank_of("nvidia-h100-sxm5"));
  EXPECT_EQ(rank_of("nvidia-a100-sxm4-80gb"), static_cast<std::ptrdiff_t>(any.size()));
}

TEST(Match, AModelNamedExactlyIsNotQuestionedForItsPrecision) {
  EXPECT_EQ(chips("intel-arc-a770", {.precision = "int8"}), Chips{"intel-arc-a770"});
  EXPECT_FALSE(match(builtin_catalogue(), "intel-arc-a770", {.precision = "int8", .gflops = 1}).has_value());
}

TEST(Match, MinimaCompareWithKnownFiguresOnly) {
  EXPECT_EQ(chips("A100", {.memory = {80LL << 30}}), (Chips{"nvidia-a100-sxm4-80gb", "nvidia-a100-pcie-80gb"}));
  EXPECT_EQ(chips("H100", {.precision = "bf16", .gflops = 800'000}), (Chips{"nvidia-h100-sxm5", "nvidia-h100-nvl"}));
  EXPECT_EQ(chips("H100", {.link_mbps = 600'000}), Chips{"nvidia-h100-sxm5"});
  // A package of two cards: half of its memory each.
  EXPECT_FALSE(match(builtin_catalogue(), "MI250", {.memory = {100LL << 30}}).has_value());
}

TEST(Match, AnErrorNamesTheNearestNameOrTheShortfall) {
  const auto unknown = match(builtin_catalogue(), "H10O", {});
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(unknown.error().message.find("did you mean \"h100\"?"), std::string::npos) << unknown.error().message;
  const auto small = match(builtin_catalogue(), "T4", {.memory = {40LL << 30}});
  ASSERT_FALSE(small.has_value());
  EXPECT_EQ(small.error().code, ErrorCode::kInfeasible);
  EXPECT_NE(small.error().message.find("nvidia-t4 has 16GiB"), std::string::npos) << small.error().message;
}

TEST(Match, AnUndecidedChipCanBeAskedForByItsOwnName) {
  EXPECT_EQ(chips("pci-10de-abcd"), Chips{"pci-10de-abcd"});
}

TEST(Denominator, IsTheNominalPeakOrElseWhatWasMeasured) {
  using Kind = Denominator::Kind;
  const Catalogue& catalogue = builtin_catalogue();
  EXPECT_EQ(denominator_for(catalogue, "nvidia-h100-sxm5", {}, "bf16"),
            (Denominator{.kind = Kind::kNominalDense, .gflops = 989'500}));
  EXPECT_EQ(denominator_for(catalogue, "cpu", {{"fp32", 80}, {measured_key("fp32"), 60}}, "fp32"),
            (Denominator{.kind = Kind::kNominalDense, .gflops = 80}));
  EXPECT_EQ(denominator_for(catalogue, "intel-arc-a770", {{measured_key("fp16"), 60'000}}, "fp16"),
            (Denominator{.kind = Kind::kMeasuredGemm, .gflops = 60'000}));
  EXPECT_EQ(denominator_for(catalogue, "intel-arc-a770", {}, "fp16"), std::nullopt);
  EXPECT_EQ(measured_key("fp32"), "measured-GEMM fp32");
}

}  // namespace
}  // namespace busbar::chip

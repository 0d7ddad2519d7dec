#include "control/chip_requests.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "chip/builtin_catalogue.h"

namespace busbar::control {
namespace {

launch::ParsedJob checked(const std::string& text) {
  launch::ParsedJob job = launch::parse_job_file(text, {}, "/");
  check_chips(chip::builtin_catalogue(), job);
  return job;
}

std::vector<std::string> chips_of(const std::string& text) {
  const launch::ParsedJob job = checked(text);
  EXPECT_TRUE(job.is_valid) << launch::format_diagnostics("job", text, job.diagnostics);
  std::vector<std::string> chips;
  const auto expanded = expand_accelerators(chip::builtin_catalogue(), job.spec);
  if (!expanded) {
    ADD_FAILURE() << expanded.error().to_string();
    return {};
  }
  for (const auto& request : expanded.value()) {
    chips.push_back(request.chip + ":" + format_milli(request.per_node.value));
  }
  return chips;
}

using Chips = std::vector<std::string>;

TEST(ChipRequests, ANameBecomesTheChipsThatItMeansBestFirst) {
  EXPECT_EQ(chips_of("run: x\nresources: {accelerators: H100:8}"),
            (Chips{"nvidia-h100-sxm5:8", "nvidia-h100-nvl:8", "nvidia-h100-pcie:8"}));
  EXPECT_EQ(chips_of("run: x\nany_of: [h100-sxm:4, H100:8, 2]"),
            (Chips{"nvidia-h100-sxm5:4", "nvidia-h100-sxm5:8", "nvidia-h100-nvl:8", "nvidia-h100-pcie:8", ":2"}));
}

TEST(ChipRequests, CpuCardsAndAnyCardStayAsTheyAre) {
  EXPECT_EQ(chips_of("run: x\nresources: {accelerators: 'cpu:2'}\nprecision: fp32"), Chips{"cpu:2"});
  EXPECT_EQ(chips_of("run: x\nresources: {accelerators: 8}"), Chips{":8"});
  EXPECT_TRUE(chips_of("run: x").empty());
}

TEST(ChipRequests, AKubernetesResourceIsAnyCardOfThatVendor) {
  const Chips nvidia = chips_of("run: x\nresources: {nvidia.com/gpu: 8}");
  EXPECT_GE(nvidia.size(), 27u);
  for (const std::string& chip : nvidia) EXPECT_TRUE(chip.starts_with("nvidia-")) << chip;
  EXPECT_EQ(chips_of("run: x\nresources: {furiosa.ai/rngd: 1}"), Chips{"furiosa-rngd:1"});
}

TEST(ChipRequests, MinimaAndPrecisionChooseAmongTheChips) {
  EXPECT_EQ(chips_of("run: x\nprecision: fp8\nresources: {accelerators: nvidia:1, min_card_tflops: 4000}"),
            (Chips{"nvidia-gb200:1", "nvidia-b200:1"}));
  EXPECT_EQ(chips_of("run: x\nresources: {accelerators: A100:1, min_card_memory: 80GiB, min_card_link: 600}"),
            Chips{"nvidia-a100-sxm4-80gb:1"});
  EXPECT_GT(chips_of("run: x\nprecision: int8\nresources: {accelerators: 1}").size(), 30u);
}

TEST(ChipRequests, ARequestMayNameItsOwnPrecision) {
  const Chips fp8 = chips_of("run: x\nany_of: ['nvidia:1@fp8', 'A100-SXM4-80GB:1@int8']");
  EXPECT_EQ(fp8.back(), "nvidia-a100-sxm4-80gb:1");
  EXPECT_EQ(std::count(fp8.begin(), fp8.end(), "nvidia-h100-sxm5:1"), 1);
  EXPECT_EQ(std::count(fp8.begin(), fp8.end(), "nvidia-a100-pcie-80gb:1"), 0) << "no fp8";
  EXPECT_EQ(chips_of("run: x\nresources: {accelerators: '1@int8'}"),
            chips_of("run: x\nprecision: int8\nresources: {accelerators: 1}"));
}

TEST(ChipRequests, AnUnknownOrUnmeetableRequestIsAnErrorAtItsPlace) {
  const launch::ParsedJob unknown = checked("run: x\nresources:\n  accelerators: H10O:8\n");
  ASSERT_FALSE(unknown.is_valid);
  EXPECT_EQ(unknown.diagnostics.back().position.line, 3);
  EXPECT_EQ(unknown.diagnostics.back().field, "resources.accelerators");
  EXPECT_NE(unknown.diagnostics.back().message.find("did you mean"), std::string::npos);
  const launch::ParsedJob small = checked("run: x\nany_of: [T4:1]\nresources: {min_card_memory: 40GiB}\n");
  ASSERT_FALSE(small.is_valid);
  EXPECT_EQ(small.diagnostics.back().field, "any_of");
}

}  // namespace
}  // namespace busbar::control

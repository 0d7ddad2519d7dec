#include "chip/builtin_catalogue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace busbar::chip {
namespace {

std::vector<std::string> found_ids(const std::vector<const ChipModel*>& models) {
  std::vector<std::string> result;
  for (const ChipModel* model : models) {
    result.push_back(model->id);
  }
  return result;
}

using Ids = std::vector<std::string>;

TEST(BuiltinCatalogue, IsValidAndKnowsEveryModel) {
  const ParsedCatalogue parsed = parse_catalogue(builtin_catalogue_files());
  ASSERT_EQ(format_diagnostics(parsed.diagnostics), "");
  EXPECT_GE(parsed.catalogue.models().size(), 147u);
  EXPECT_GE(parsed.catalogue.families().size(), 33u);
  std::set<std::string> vendors;
  for (const Family& family : parsed.catalogue.families()) {
    vendors.insert(family.vendor);
  }
  EXPECT_GE(vendors.size(), 27u);
}

TEST(BuiltinCatalogue, SharedPciIdsGiveCandidatesNeverAGuess) {
  const Catalogue& catalogue = builtin_catalogue();
  EXPECT_EQ(found_ids(catalogue.candidates(0x19e5, 0xd802)), (Ids{"ascend-910b2", "ascend-910b3", "ascend-910b4"}));
  EXPECT_EQ(found_ids(catalogue.candidates(0x1002, 0x740c)), (Ids{"amd-mi250", "amd-mi250x"}));
  EXPECT_EQ(found_ids(catalogue.candidates(0x1ae0, 0x0027)), (Ids{"tpu-v2", "tpu-v3"}));
  EXPECT_EQ(found_ids(catalogue.candidates(0x1ae0, 0x0027, 0x004f)), Ids{"tpu-v3"});
  EXPECT_EQ(found_ids(catalogue.candidates(0x10de, 0x2330)), Ids{"nvidia-h100-sxm5"});
  // The card's network functions must not be taken for the FPGA.
  EXPECT_TRUE(catalogue.candidates(0x8086, 0x0d58).empty());
}

TEST(BuiltinCatalogue, KnowsTheNamesThatPeopleWrite) {
  const Catalogue& catalogue = builtin_catalogue();
  const std::vector<std::pair<const char*, Ids>> cases = {
      {"H100", {"nvidia-h100-pcie", "nvidia-h100-sxm5", "nvidia-h100-nvl"}},
      {"h100_sxm5", {"nvidia-h100-sxm5"}},
      {"MI300X", {"amd-mi300x"}},
      {"910B", {"ascend-910b2", "ascend-910b3", "ascend-910b4"}},
      {"huawei.com/Ascend310P", {"ascend-310p3", "ascend-310p-duo"}},
      {"cambricon.com/mlu370", {"cambricon-mlu370-s4", "cambricon-mlu370-x8"}},
      {"Gaudi2", {"habana-gaudi2"}},
      {"tpu-v5e", {"tpu-v5e"}},
      {"V5E", {"tpu-v5e"}},
  };
  for (const auto& [name, expected] : cases) {
    EXPECT_EQ(found_ids(catalogue.named(name)), expected) << name;
  }
  for (const auto& [name, family] :
       std::vector<std::pair<const char*, const char*>>{{"nvidia.com/gpu", "nvidia"},
                                                        {"amd.com/gpu", "amd-instinct"},
                                                        {"cambricon.com/mlu", "cambricon"},
                                                        {"habana.ai/gaudi", "habana"},
                                                        {"google.com/tpu", "google-tpu"},
                                                        {"aws.amazon.com/neuron", "aws-neuron"},
                                                        {"hygon.com/dcu", "hygon"},
                                                        {"iluvatar.com/gpu", "iluvatar"},
                                                        {"mthreads.com/gpu", "mthreads"},
                                                        {"enflame.com/gcu", "enflame"},
                                                        {"kunlunxin.com/xpu", "kunlunxin"},
                                                        {"birentech.com/gpu", "biren"},
                                                        {"metax-tech.com/gpu", "metax"},
                                                        {"gpu.intel.com/i915", "intel-gpu"},
                                                        {"gpu.intel.com/xe", "intel-gpu"},
                                                        {"qualcomm.com/qaic", "qualcomm"},
                                                        {"gaudi", "habana"},
                                                        {"rebellions.ai/npu", "rebellions"}}) {
    SCOPED_TRACE(name);
    const auto models = catalogue.named(name);
    ASSERT_FALSE(models.empty());
    for (const ChipModel* model : models) {
      EXPECT_EQ(catalogue.family_of(*model).id, family);
    }
  }
}

TEST(BuiltinCatalogue, FiguresAreDenseAndPerCard) {
  const Catalogue& catalogue = builtin_catalogue();
  EXPECT_EQ(catalogue.find("nvidia-h100-sxm5")->card_peak_gflops("fp16"), 989'500);
  EXPECT_EQ(catalogue.find("amd-mi250x")->card_peak_gflops("fp16"), 191'500);
  EXPECT_EQ(catalogue.find("intel-max-1550")->cards, 1u);
  EXPECT_EQ(catalogue.find("ascend-910c")->card_memory(), (Bytes{64LL << 30}));
  EXPECT_EQ(catalogue.find("qualcomm-ai100-ultra")->cards, 4u);
}

TEST(BuiltinCatalogue, NoTwoFamiliesInjectByTheSameVendorNeutralNode) {
  // A control node that two families share would show one family's cards through the other's rule.
  std::map<std::string, std::string> owner;
  for (const Family& family : builtin_catalogue().families()) {
    for (const std::string& node : family.inject.control) {
      const auto [at, is_new] = owner.emplace(node, family.id);
      // /dev/kfd is one driver's door for AMD and for Hygon, which no host has together.
      EXPECT_TRUE(is_new || node == "/dev/kfd") << node << ": " << at->second << " and " << family.id;
    }
  }
}

}  // namespace
}  // namespace busbar::chip

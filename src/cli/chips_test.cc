#include <gtest/gtest.h>

#include "chip/builtin_catalogue.h"
#include "cli/submit.h"
#include "cli/test_support.h"

namespace busbar::cli {
namespace {

using testing::CommandLineRunner;
using testing::expect_golden;
using testing::RunResult;

/// A command line with the built-in catalogue and a machine of two Moore Threads cards.
CommandLineRunner chips_runner() {
  CommandLineRunner runner;
  runner.hooks.catalogue = [](const std::string&) -> Result<chip::Catalogue> { return chip::builtin_catalogue(); };
  runner.hooks.host_cards = [](const chip::Catalogue& catalogue) -> Result<chip::HostCards> {
    chip::HostCards host = chip::assumed_host(catalogue, "mthreads-s4000", 2);
    host.is_assumed = false;
    host.present_paths = chip::paths_to_look_for(catalogue, host.cards);
    return host;
  };
  return runner;
}

std::string run(const std::vector<std::string>& arguments) {
  const RunResult result = chips_runner().run(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.out;
}

TEST(ChipsVerb, ListsModelsByVendorPrecisionAndMemory) {
  expect_golden("chips-fp8.txt", run({"chips", "--precision", "FP8", "--min-memory", "90G"}));
  expect_golden("chips-huawei.txt", run({"chips", "--vendor", "huawei"}));
}

TEST(ChipsVerb, ListsEveryModel) {
  const std::string out = run({"chips"});
  for (const chip::ChipModel& model : chip::builtin_catalogue().models()) {
    EXPECT_NE(out.find(model.id), std::string::npos) << model.id;
  }
  const auto json = parse_json(run({"chips", "--json"}));
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ((*json)["chips"].items().size(), chip::builtin_catalogue().models().size());
}

TEST(ChipsVerb, ShowsAllFactsWithTheirSources) {
  expect_golden("chips-show.txt", run({"chips", "show", "nvidia-h100-sxm5"}) + run({"chips", "show", "910B4"}) +
                                      run({"chips", "show", "vastai-sv100"}));
  const auto json = parse_json(run({"chips", "show", "H100", "--json"}));
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ((*json)["chips"].items().size(), 3u);
  EXPECT_EQ((*json)["chips"].items()[0]["peak_tflops"]["fp16"].as_double(), 989.5);
}

TEST(ChipsVerb, WritesACdiSpec) {
  expect_golden("chips-cdi.txt", run({"chips", "cdi", "mthreads"}));
}

TEST(ChipsVerb, WrongNamesAreErrorsThatHelp) {
  const RunResult unknown = chips_runner().run({"chips", "show", "H10O"});
  EXPECT_NE(unknown.exit_code, 0);
  EXPECT_NE(unknown.err.find("did you mean \"h100\"?"), std::string::npos) << unknown.err;
  const RunResult precision = chips_runner().run({"chips", "--precision", "fp7"});
  EXPECT_NE(precision.exit_code, 0);
  EXPECT_NE(precision.err.find("fp64"), std::string::npos) << precision.err;
  EXPECT_NE(chips_runner().run({"chips", "cdi", "vastai"}).exit_code, 0);
}

TEST(DryRun, ShowsWhatATaskWouldBeGivenWhereNoNodeHasTheCards) {
  const chip::HostCards host = chip::assumed_host(chip::builtin_catalogue(), "cambricon-mlu590", 1);
  const auto edits = chip::edits_for(chip::builtin_catalogue(), host, {host.cards[0].device});
  ASSERT_TRUE(edits.has_value());
  Json assumed = Json::array({Json::object({{"chip", "cambricon-mlu590"}, {"cards", 1}, {"edits", to_json(*edits)}})});
  expect_golden(
      "dry-run-assumed.txt",
      describe_dry_run(Json::object({{"members", 1},
                                     {"job", Json::object({{"name", "x"}})},
                                     {"no_placement", "no node has chip cambricon-mlu590; the cluster has cpu"},
                                     {"assumed", std::move(assumed)}})));
}

}  // namespace
}  // namespace busbar::cli

#include "chip/probe/internal/cpu_cards.h"

#include <gtest/gtest.h>

#include "chip/builtin_catalogue.h"

namespace busbar::chip::probe {
namespace {

TEST(CpuCards, AreOneForEachCpu) {
  const CpuFacts facts{.cpus = {{.number = 2, .numa_node = 0, .threads_per_core = 2, .max_mhz = 3000},
                                {.number = 5, .numa_node = 1, .threads_per_core = 2, .max_mhz = 3000}},
                       .flags = "sse fma avx2"};
  const auto cards = make_cpu_cards(facts, 0, builtin_catalogue());
  ASSERT_EQ(cards.size(), 2U);
  EXPECT_EQ(cards[1].card.device, "cpu:5");
  EXPECT_EQ(cards[1].card.numa_node, 1);
  // 32 operations a clock x 3 GHz, half of it for each of two threads.
  EXPECT_EQ(cards[0].card.peak_gflops.at(0), (std::pair<std::string, std::int64_t>{"fp32", 48}));
  EXPECT_TRUE(cards[0].candidates.empty());
}

TEST(CpuCards, MoreThanCpusShareThem) {
  const CpuFacts facts{.cpus = {{.number = 0}, {.number = 1}}};
  const auto cards = make_cpu_cards(facts, 5, builtin_catalogue());
  ASSERT_EQ(cards.size(), 5U);
  EXPECT_EQ(cards[4].card.device, "cpu:0");
  EXPECT_TRUE(cards[0].card.peak_gflops.empty());
}

TEST(CpuCards, WithAmxHaveItsPeaksToo) {
  const CpuFacts facts{.cpus = {{.number = 0, .threads_per_core = 2, .max_mhz = 2000}},
                       .flags = "fma avx2 avx512f amx_tile amx_int8 amx_bf16"};
  const auto cards = make_cpu_cards(facts, 0, builtin_catalogue());
  EXPECT_EQ(cards[0].candidates, std::vector<std::string>{"cpu-x86-amx"});
  const std::vector<std::pair<std::string, std::int64_t>> peaks = {
      {"fp32", 64}, {"fp64", 32}, {"int8", 2048}, {"bf16", 1024}};
  EXPECT_EQ(cards[0].card.peak_gflops, peaks);
}

TEST(CpuCards, WidestVectorUnitCounts) {
  EXPECT_EQ(fp32_per_clock("sse2 fma avx2 avx512f", 0), 64);
  EXPECT_EQ(fp32_per_clock("fma avx2", 0), 32);
  EXPECT_EQ(fp32_per_clock("fp asimd sve", 64), 64);
  EXPECT_EQ(fp32_per_clock("fp asimd sve", 0), 8) << "the length is not known";
  EXPECT_EQ(fp32_per_clock("sse2", 0), 8);
}

}  // namespace
}  // namespace busbar::chip::probe

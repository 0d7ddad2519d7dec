#include "chip/probe/measure.h"

#include <gtest/gtest.h>

#include "chip/probe/internal/gemm_timer.h"

namespace busbar::chip::probe {
namespace {

engine::ProbedCard gpu(std::string address) {
  engine::ProbedCard card{.card = {.chip = "nvidia-l40s", .device = "pci:" + address}};
  card.facts = {.device = card.card.device, .family = "nvidia", .values = {{"bdf", address}}};
  return card;
}

MeasureOptions fake() {
  return {.duration_ms = 1,
          .openblas = BUSBAR_FAKE_GEMM,
          .cuda_runtime = BUSBAR_FAKE_GEMM,
          .cublas = BUSBAR_FAKE_GEMM,
          .python = "none"};
}

std::vector<std::string> precisions(const GemmRun& run) {
  std::vector<std::string> names;
  for (const GemmResult& result : run.results) {
    EXPECT_GT(result.gflops, 0);
    names.push_back(result.precision);
  }
  return names;
}

TEST(Measure, CpusGiveBothPrecisionsOfOpenBlas) {
  const auto run = measure_cpus({0}, fake());
  ASSERT_TRUE(run.has_value()) << run.error().to_string();
  EXPECT_EQ(precisions(*run), (std::vector<std::string>{"fp32", "fp64"}));
  EXPECT_EQ(run->results[0].library, "FakeBLAS on 1 thread");
  EXPECT_EQ(run->results[0].size, 256);
}

TEST(Measure, APrecisionThatTheLibraryLacksIsAProblemNotAnEnd) {
  MeasureOptions options = fake();
  options.precisions = {"fp32", "fp8"};
  const auto cpus = measure_cpus({0}, options);
  ASSERT_TRUE(cpus.has_value());
  EXPECT_EQ(precisions(*cpus), std::vector<std::string>{"fp32"});
  ASSERT_EQ(cpus->problems.size(), 1U);
  EXPECT_EQ(cpus->problems[0].path, "fp8");
  const auto card = measure_card(gpu("0000:1b:00.0"), options);
  ASSERT_TRUE(card.has_value());
  EXPECT_EQ(card->problems.size(), 1U);
}

TEST(Measure, ANvidiaCardIsMeasuredByCublas) {
  const auto run = measure_card(gpu("0000:1b:00.0"), fake());
  ASSERT_TRUE(run.has_value()) << run.error().to_string();
  EXPECT_EQ(precisions(*run), (std::vector<std::string>{"fp16", "tf32", "fp32", "fp64"}));
  EXPECT_EQ(run->results[0].library, "cuBLAS 12.4");
  ASSERT_EQ(run->problems.size(), 1U);
  EXPECT_EQ(run->problems[0].path, "bf16");
}

TEST(Measure, ACardThatCudaDoesNotKnowIsAnError) {
  const auto run = measure_card(gpu("0000:99:00.0"), fake());
  ASSERT_FALSE(run.has_value());
  EXPECT_NE(run.error().message.find("invalid device ordinal"), std::string::npos);
}

TEST(Measure, SaysWhatToInstall) {
  MeasureOptions options = fake();
  options.openblas = "/nonexistent/libopenblas.so.0";
  const auto cpus = measure_cpus({0}, options);
  ASSERT_FALSE(cpus.has_value());
  EXPECT_EQ(cpus.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(cpus.error().message.find("libopenblas0-pthread"), std::string::npos);
}

TEST(Measure, OtherCardsAndUnhealthyOnesAreRefused) {
  engine::ProbedCard other = gpu("0000:1b:00.0");
  other.facts.family = "habana";
  EXPECT_EQ(measure_card(other, fake()).error().code, ErrorCode::kUnsupported);
  engine::ProbedCard sick = gpu("0000:1b:00.0");
  sick.card.health = model::CardHealth::kUnhealthy;
  EXPECT_EQ(measure_card(sick, fake()).error().code, ErrorCode::kFailedPrecondition);
}

TEST(Measure, WithoutALibraryPythonIsAsked) {
  MeasureOptions options = fake();
  options.openblas = "/nonexistent/libopenblas.so.0";
  options.python = "/bin/false";
  EXPECT_EQ(measure_cpus({0}, options).error().code, ErrorCode::kUnsupported);
}

TEST(GemmTimer, StopsGrowingAtTheLargestSizeAndTakesTheMedian) {
  std::vector<std::int64_t> sizes;
  int runs = 0;
  const Gemm gemm{.prepare = [&](std::int64_t size) -> Result<void> {
                    sizes.push_back(size);
                    return {};
                  },
                  .multiply = [&]() -> Result<void> {
                    ++runs;
                    return {};
                  }};
  const auto timing = time_gemm(gemm, 0, 1024);
  ASSERT_TRUE(timing.has_value());
  EXPECT_EQ(sizes, (std::vector<std::int64_t>{256, 512, 1024}));
  EXPECT_EQ(timing->size, 1024);
  EXPECT_EQ(runs, 3 * 2 + 5);
}

TEST(GemmTimer, AFailureIsAnError) {
  const Gemm gemm{.prepare = [](std::int64_t) -> Result<void> { return {}; },
                  .multiply = []() -> Result<void> { return make_error(ErrorCode::kUnavailable, "lost"); }};
  EXPECT_EQ(time_gemm(gemm, 1, 1024).error().message, "lost");
}

}  // namespace
}  // namespace busbar::chip::probe

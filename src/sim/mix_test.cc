#include "sim/mix.h"

#include <gtest/gtest.h>

namespace busbar::sim {
namespace {

constexpr const char* kMix = R"(cards: 64
length: 2d
load_percent: 120
classes:
  - {name: small, weight: 9, cards: 1, median: 1h, spread: 1, most: 12h, queues: [a, b]}
  - {name: gang, weight: 1, nodes: 4, cards: 8, median: 2h, spread: 0.5, limited_percent: 0, checkpoint: 30m,
     topology: leaf}
)";

Mix mix_of(const char* text) {
  auto mix = read_mix("m.yaml", text);
  EXPECT_TRUE(mix.has_value()) << mix.error().to_string();
  return *std::move(mix);
}

TEST(Mix, AsksForAsMuchAsItSays) {
  const Mix mix = mix_of(kMix);
  double asked = 0;
  double gangs = 0;
  double jobs = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Trace trace = make_trace(mix, seed);
    for (const TraceJob& job : trace.jobs) {
      asked += static_cast<double>(job.milli_cards()) * static_cast<double>(job.work_ms);
      gangs += job.nodes == 4 ? 1 : 0;
      jobs += 1;
    }
  }
  const double capacity = 64'000.0 * static_cast<double>(mix.length_ms) * 20;
  EXPECT_NEAR(asked / capacity, 1.2, 0.05);
  EXPECT_NEAR(gangs / jobs, 0.1, 0.02);
}

TEST(Mix, TheSeedDecidesTheLoad) {
  const Mix mix = mix_of(kMix);
  EXPECT_EQ(make_trace(mix, 1).jobs, make_trace(mix, 1).jobs);
  EXPECT_NE(make_trace(mix, 1).jobs, make_trace(mix, 2).jobs);
}

TEST(Mix, GivesJobsWhatTheirClassSays) {
  const Trace trace = make_trace(mix_of(kMix), 3);
  EXPECT_EQ(trace.jobs.front().submit_ms, 0);
  for (const TraceJob& job : trace.jobs) {
    EXPECT_GE(job.work_ms, 60'000);
    if (job.nodes == 4) {
      EXPECT_EQ(job.time_limit_ms, 0);
      EXPECT_EQ(job.checkpoint_ms, 1'800'000);
      EXPECT_EQ(job.level, "leaf");
    } else {
      EXPECT_LE(job.work_ms, 12 * 3'600'000);
      EXPECT_GT(job.time_limit_ms, job.work_ms);
      EXPECT_LE(job.time_limit_ms, 3 * job.work_ms + 1000);
    }
  }
}

TEST(Mix, SaysInWhichLineWhatIsWrong) {
  for (const auto& [text, message] : std::vector<std::pair<std::string, std::string>>{
           {"cards: 8\n", "m.yaml:1: classes takes a list"},
           {"cards: 8\nclases: []\n", "m.yaml:1: classes takes a list"},
           {"cards: 8\nclasses:\n  - {cards: 1}\nlenght: 2d\n",
            "m.yaml:4: there is no key \"lenght\"; did you mean length?"},
           {"cards: x\nclasses:\n  - {cards: 1}\n", "m.yaml:1: cards takes a whole number"},
           {"cards: 8\nclasses:\n  - {cards: 1.5}\n", "m.yaml:3: cards takes a fraction of one card or whole cards"},
           {"cards: 8\nclasses:\n  - {median: soon}\n", "m.yaml:3: median takes a time"},
           {"cards: [\n", "m.yaml:"}}) {
    SCOPED_TRACE(text);
    const auto mix = read_mix("m.yaml", text);
    ASSERT_FALSE(mix.has_value());
    EXPECT_EQ(mix.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(mix.error().message.find(message), 0U) << mix.error().message;
  }
}

}  // namespace
}  // namespace busbar::sim

#include "model/queue.h"

#include <gtest/gtest.h>

#include "model/job_json.h"

namespace busbar::model {
namespace {

Queue full_queue() {
  return {.name = "vision",
          .parent = "research",
          .guarantee = {.all = {16'000}, .chips = {{"A100", {4'500}}, {"H100", {8'000}}}},
          .limit = {.all = {32'000}},
          .weight = {.all = 2, .chips = {{"H100", 3}}},
          .priority = -3,
          .reclaim_bound_ms = 600'000,
          .enforce = Enforce::kNow};
}

TEST(QueueJson, RoundTripsThroughText) {
  for (const Queue& queue : {full_queue(), Queue{.name = "open"}, Queue{.name = "half", .limit = {{500}, {}}}}) {
    const auto text = parse_json(to_json(queue).dump());
    ASSERT_TRUE(text);
    EXPECT_EQ(queue_from_json(*text), queue) << to_json(queue).dump();
  }
}

TEST(QueueJson, TakesAmountsAsNumberTextOrObject) {
  for (const char* text : {R"({"name":"a","limit":{"all":64,"H100":8}})", R"({"name":"a","limit":"64,H100=8"})"}) {
    const auto queue = queue_from_json(*parse_json(text));
    ASSERT_TRUE(queue) << queue.error().to_string();
    EXPECT_EQ(queue->limit.all.value, 64'000);
    EXPECT_EQ(queue->limit.of("H100").value, 8'000);
  }
  for (const char* text : {R"({"name":"a","limit":-1})", R"({"name":"a","limit":"8,8"})", R"({"name":"a","weight":0})",
                           R"({"name":"a","limit":[]})", R"({"name":"a","enforce":"soon"})", R"({"limti":1})"}) {
    EXPECT_FALSE(queue_from_json(*parse_json(text))) << text;
  }
}

TEST(QueueText, AmountsAndWeightsReadBackTheSame) {
  for (const char* text : {"none", "64", "0.5", "64,H100=8", "A100=2,H100=8", "0"}) {
    EXPECT_EQ(format_card_amounts(*parse_card_amounts(text)), text);
  }
  for (const char* text : {"1", "2,H100=3"}) {
    EXPECT_EQ(format_queue_weights(*parse_queue_weights(text)), text);
  }
  for (const char* text : {"", "x", "-1", "8,8", "H100=8,H100=9", "H100"}) {
    EXPECT_FALSE(parse_card_amounts(text)) << text;
  }
}

TEST(QueueValidate, RefusesWhatMakesNoSense) {
  EXPECT_TRUE(validate(full_queue()));
  EXPECT_FALSE(validate(Queue{.name = ""}));
  EXPECT_FALSE(validate(Queue{.name = "a", .guarantee = {{9'000}, {}}, .limit = {{8'000}, {}}}));
  EXPECT_FALSE(validate(Queue{.name = "a", .guarantee = {{-1}, {{"H100", {9'000}}}}, .limit = {{8'000}, {}}}));
  EXPECT_FALSE(validate(Queue{.name = "a", .limit = {{-1}, {{"b", {1}}, {"a", {1}}}}}));
  EXPECT_FALSE(validate(Queue{.name = "a", .weight = {.all = 0}}));
  EXPECT_FALSE(validate(Queue{.name = "a", .reclaim_bound_ms = -1}));
}

TEST(QueueTree, RefusesCirclesUnknownParentsAndPromisesThatDoNotFit) {
  struct Case {
    std::vector<Queue> queues;
    std::string message;
  };
  const Queue top = {.name = "top", .guarantee = {{16'000}, {{"H100", {8'000}}}}};
  const std::vector<Case> cases = {
      {{{.name = "a", .parent = "b"}, {.name = "b", .parent = "a"}},
       "queue \"a\": is below itself; give one queue of the circle another parent"},
      {{{.name = "a", .parent = "x"}}, "queue \"a\": parent \"x\" does not exist; make it first"},
      {{top,
        {.name = "a", .parent = "top", .guarantee = {{10'000}, {}}},
        {.name = "b", .parent = "top", .guarantee = {{7'000}, {}}}},
       "queue \"top\": the queues below it are guaranteed 17 cards of its 16 cards; raise its guarantee or lower "
       "theirs"},
      {{top, {.name = "a", .parent = "top", .guarantee = {{-1}, {{"H100", {9'000}}}}}},
       "queue \"top\": the queues below it are guaranteed 9 H100 cards of its 8 H100 cards; raise its guarantee or "
       "lower theirs"},
      {{{.name = "top", .guarantee = {{-1}, {{"H100", {8'000}}}}},
        {.name = "a", .parent = "top", .guarantee = {{-1}, {{"A100", {1'000}}}}}},
       "queue \"top\": the queues below it are guaranteed 1 A100 cards of its 0 A100 cards; raise its guarantee or "
       "lower theirs"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.message);
    const auto result = validate_tree(c.queues);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message, c.message);
  }
}

TEST(QueueTree, AQueueWithoutAGuaranteePromisesWhatIsPromisedBelowIt) {
  const std::vector<Queue> queues = {{.name = "top", .guarantee = {{16'000}, {}}},
                                     {.name = "mid", .parent = "top"},
                                     {.name = "a", .parent = "mid", .guarantee = {{10'000}, {}}},
                                     {.name = "b", .parent = "mid", .guarantee = {{-1}, {{"H100", {6'000}}}}}};
  EXPECT_TRUE(validate_tree(queues));
  const CardAmounts promised = effective_guarantee(queues, queues[1]);
  EXPECT_EQ(promised.all.value, 16'000);
  EXPECT_EQ(promised.of("H100").value, 6'000);
}

}  // namespace
}  // namespace busbar::model

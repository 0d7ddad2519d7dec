#include "sim/trace.h"

#include <gtest/gtest.h>

namespace busbar::sim {
namespace {

TEST(Trace, ReadsThePhillyFormatInOrderOfSubmission) {
  const auto trace = read_philly_trace("p.csv",
                                       "timestamp,duration,num_gpus,gpu_time,cluster\n"
                                       "2017-10-09 07:01:55,66.0,12,792.0,aa\n"
                                       "2017-10-09 07:01:45,10.5,1,10.5,bb\n",
                                       {.cards_per_node = 8});
  ASSERT_TRUE(trace.has_value()) << trace.error().to_string();
  ASSERT_EQ(trace->jobs.size(), 2U);
  EXPECT_EQ(trace->jobs[0].submit_ms, 0);
  EXPECT_EQ(trace->jobs[0].work_ms, 10'500);
  EXPECT_EQ(trace->queues[trace->jobs[0].queue], "bb");
  EXPECT_EQ(trace->jobs[1].submit_ms, 10'000);
  EXPECT_EQ(trace->jobs[1].nodes, 2U) << "12 cards on as few equal nodes as hold them";
  EXPECT_EQ(trace->jobs[1].milli_per_node, 6000);
}

TEST(Trace, ReadsOurOwnFormatWithAndWithoutOptionalColumns) {
  const auto small = read_own_trace("o.csv", "submit_s,duration_s,cards\n5,60,0.5\n");
  ASSERT_TRUE(small.has_value()) << small.error().to_string();
  EXPECT_EQ(small->jobs[0].milli_per_node, 500);
  EXPECT_EQ(small->queues, std::vector<std::string>{"default"});
  const auto full =
      read_own_trace("o.csv",
                     "submit_s,duration_s,nodes,cards,queue,user,priority,time_limit_s,checkpoint_s,topology\n"
                     "0,60,4,8,vision,ann,10,120,30,leaf\n");
  ASSERT_TRUE(full.has_value()) << full.error().to_string();
  EXPECT_EQ(full->jobs[0], (TraceJob{.work_ms = 60'000,
                                     .nodes = 4,
                                     .milli_per_node = 8000,
                                     .priority = 10,
                                     .time_limit_ms = 120'000,
                                     .checkpoint_ms = 30'000,
                                     .level = "leaf"}));
}

TEST(Trace, ReadsOpenbPodsThatRan) {
  const auto trace = read_openb_trace(
      "pods.csv",
      "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
      "a,12000,16384,1,460,,LS,Running,100,200,110\n"
      "b,12000,16384,2,1000,,LS,Pending,100,,\n");
  ASSERT_TRUE(trace.has_value()) << trace.error().to_string();
  ASSERT_EQ(trace->jobs.size(), 1U);
  EXPECT_EQ(trace->jobs[0].work_ms, 90'000);
  EXPECT_EQ(trace->jobs[0].milli_per_node, 460);
}

TEST(Trace, SaysInWhichLineOfWhichFileWhatIsWrong) {
  const std::string head = "submit_s,duration_s,cards,nodes,queue,topology\n";
  for (const auto& [row, message] : std::vector<std::pair<std::string, std::string>>{
           {"x,1,1,1,q,", "column submit_s: \"x\" is no number"},
           {"0,0,1,1,q,", "column duration_s: \"0\" is not between"},
           {"0,1,1.5,1,q,", "column cards: \"1.5\" is neither a fraction of one card nor whole cards"},
           {"0,1,1,0,q,", "column nodes: \"0\" is no whole number"},
           {"0,1,1,1,A b,", "column queue: \"A b\" is no name"},
           {"0,1,1,1,q,rack", "column topology: \"rack\" is none of node, leaf, spine"}}) {
    SCOPED_TRACE(row);
    const auto trace = read_own_trace("o.csv", head + "0,1,1,1,q,\n" + row + "\n");
    ASSERT_FALSE(trace.has_value());
    EXPECT_EQ(trace.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(trace.error().message.find("o.csv:3: " + message), 0U) << trace.error().message;
  }
  const auto philly =
      read_philly_trace("p.csv", "timestamp,duration,num_gpus,gpu_time,cluster\n2017-02-30 07:01:55,1,1,1,q\n", {});
  ASSERT_FALSE(philly.has_value());
  EXPECT_EQ(philly.error().message,
            "p.csv:2: column timestamp: \"2017-02-30 07:01:55\" is no time like 2017-10-09 07:01:55");
}

TEST(Trace, GuessesTheFormatByTheHeadLine) {
  EXPECT_EQ(guess_trace_format("timestamp,duration,num_gpus,gpu_time,cluster\n"), TraceFormat::kPhilly);
  EXPECT_EQ(guess_trace_format("submit_s,duration_s,cards\n"), TraceFormat::kBusbar);
  EXPECT_EQ(guess_trace_format("a,b\nsubmit_s,duration_s"), std::nullopt);
}

TEST(Trace, SpreadsGangsOverSingleCards) {
  Trace trace{.name = "t", .jobs = {{.nodes = 2, .milli_per_node = 8000, .level = "leaf"}, {.milli_per_node = 500}}};
  trace = spread_over_cards(std::move(trace));
  EXPECT_EQ(trace.jobs[0].nodes, 16U);
  EXPECT_EQ(trace.jobs[0].milli_per_node, 1000);
  EXPECT_EQ(trace.jobs[0].level, "");
  EXPECT_EQ(trace.jobs[1].milli_per_node, 500);
}

}  // namespace
}  // namespace busbar::sim

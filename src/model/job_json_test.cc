#include "model/job_json.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace busbar::model {
namespace {

JobSpec full_spec() {
  return {.name = "full",
          .type = JobType::kJob,
          .image = "oci:/images/torch:2",
          .workdir = "/work dir",
          .setup = "echo \"setup\"\n",
          .run = "torchrun train.py --x='1'\n",
          .env = {{"A", "1"}, {"B", "two words"}, {"EMPTY", ""}},
          .secrets = {{.name = "wandb", .env = "WANDB_API_KEY"}, {.name = "token"}},
          .min_nodes = 2,
          .max_nodes = 8,
          .procs_per_node = 4,
          .resources = {.accelerators = AcceleratorRequest{.chip = "H100", .per_node = {8000}},
                        .cpus = {12'500},
                        .memory = {(64LL << 30) + 1},
                        .shm_size = {1 << 30},
                        .disk = {5}},
          .precision = "bf16",
          .any_of = {{.chip = "H100", .per_node = {8000}}, {.chip = "", .per_node = {500}}},
          .project = "p",
          .queue = "q",
          .priority = -5,
          .time_limit_ms = 14'400'500,
          .preemptible = false,
          .min_run_time_ms = 60'000,
          .restart = {.max = 3, .on = {ExitClass::kTimeLimit}},
          .checkpoint = {.path = "/ckpt", .every_ms = 600'000, .signal = "SIGUSR1", .grace_ms = 1500},
          .topology = {.mode = TopologyRequest::Mode::kPreferred, .level = "leaf"},
          .launcher = Launcher::kDirect,
          .volumes = {{.source = "/a:b", .target = "/c", .is_read_only = true}, {.source = "/d", .target = "/e"}},
          .ports = {{.name = "http", .container_port = 8080}, {.name = "any"}},
          .array = {0, 1, 2, 9},
          .array_parallel = 2,
          .after = {"ok:17", "any:18"},
          .efficiency = {.flops_per_token = 1, .flops_per_sample = 2, .parameters = 3, .precision = "fp16"},
          .slurm_environment = true,
          .array_index = 9};
}

TEST(JobJson, FullSpecRoundTripsThroughText) {
  const auto text = parse_json(to_json(full_spec()).dump());
  ASSERT_TRUE(text);
  const auto read = job_spec_from_json(*text);
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(to_json(*read).dump(), to_json(full_spec()).dump());
  EXPECT_EQ(*read, full_spec());
}

TEST(JobJson, DefaultSpecRoundTrips) {
  EXPECT_EQ(job_spec_from_json(to_json(JobSpec{})), JobSpec{});
  EXPECT_EQ(job_spec_from_json(Json::object()), JobSpec{});
}

TEST(JobJson, EmptyRestartListIsNotTheDefaultList) {
  const JobSpec spec{.restart = {.max = 1, .on = {}}};
  EXPECT_EQ(job_spec_from_json(to_json(spec)), spec);
}

TEST(JobJson, ErrorsNameTheField) {
  struct Case {
    const char* text;
    const char* phrase;
  };
  for (const Case& c : std::vector<Case>{{R"({"nodes": "8..2"})", "job.nodes"},
                                         {R"({"env": {"A": 1}})", "job.env"},
                                         {R"({"colour": 1})", "unknown key \"colour\""},
                                         {R"({"resources": {"cpus": "x"}})", "resources.cpus"},
                                         {R"({"resources": []})", "resources: not an object"},
                                         {R"({"restart": {"on": ["sometimes"]}})", "sometimes"},
                                         {R"({"launcher": 1})", "job.launcher"},
                                         {R"({"time_limit": []})", "job.time_limit"},
                                         {R"({"array": "5-1"})", "backwards"},
                                         {R"({"priority": 3000000000})", "job.priority"},
                                         {R"({"volumes": [{"from": "/"}]})", "unknown key \"from\""},
                                         {R"("text")", "not an object"}}) {
    SCOPED_TRACE(c.text);
    const auto json = parse_json(c.text);
    ASSERT_TRUE(json);
    const auto spec = job_spec_from_json(*json);
    ASSERT_FALSE(spec);
    EXPECT_NE(spec.error().message.find(c.phrase), std::string::npos) << spec.error().message;
  }
}

}  // namespace
}  // namespace busbar::model

#include "launch/job_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "model/job_json.h"

namespace busbar::launch {
namespace {

using model::JobSpec;
using model::Launcher;

std::string errors_of(const ParsedJob& parsed) {
  return format_diagnostics("job.yaml", "", parsed.diagnostics);
}

JobSpec spec_of(const std::string& text, const std::vector<std::string>& overrides = {},
                const std::string& base = "/jobs") {
  const ParsedJob parsed = parse_job_file(text, overrides, base);
  EXPECT_TRUE(parsed.is_valid) << text << "\n" << errors_of(parsed);
  return parsed.spec;
}

const Diagnostic* find_diagnostic(const ParsedJob& parsed, const std::string& field) {
  const auto found = std::find_if(parsed.diagnostics.begin(), parsed.diagnostics.end(),
                                  [&](const Diagnostic& diagnostic) { return diagnostic.field == field; });
  return found == parsed.diagnostics.end() ? nullptr : &*found;
}

TEST(JobFile, TwoLinesAreAJob) {
  const JobSpec spec = spec_of("name: hello\nrun: echo hello\n");
  EXPECT_EQ(spec.name, "hello");
  EXPECT_EQ(spec.run, "echo hello");
  EXPECT_EQ(spec.image, "host");
  EXPECT_EQ(spec.workdir, "/jobs");
  EXPECT_EQ(spec.min_nodes, 1u);
  EXPECT_EQ(spec.launcher, Launcher::kTorchrun);
  EXPECT_FALSE(spec.resources.accelerators);
}

TEST(JobFile, EveryFieldIsRead) {
  const JobSpec spec = spec_of(R"(
name: full
type: job
image: oci:/images/torch:2
workdir: /work
setup: |
  echo setup
run: torchrun train.py
env: {A: 1, B: "two words", C: true}
secrets: [token, {name: wandb, env: WANDB_API_KEY}]
nodes: 2..8
procs_per_node: 4
resources: {accelerators: "H100:8", cpus: 12.5, memory: 64GB, shm_size: 1G}
precision: bf16
project: p
queue: q
priority: 7
time_limit: 0-04:00:00
restart: {max: 3, on: [time_limit, user]}
checkpoint: {path: /ckpt/x, every: 10m, signal: USR1, grace: 1m}
topology: {preferred: leaf}
launcher: torchrun
volumes: ["./ckpt:/ckpt", {source: /data, target: /data, read_only: true}]
ports: [8080, http, "grpc:9000", {name: x, port: 1234}]
array: 0-3%2
after: [17, "any:18"]
efficiency: {parameters: 7B}
slurm_environment: true
)");
  EXPECT_EQ(spec.image, "oci:/images/torch:2");
  EXPECT_EQ(spec.env, (std::map<std::string, std::string>{{"A", "1"}, {"B", "two words"}, {"C", "true"}}));
  ASSERT_EQ(spec.secrets.size(), 2u);
  EXPECT_EQ(spec.secrets[1], (model::SecretRef{.name = "wandb", .env = "WANDB_API_KEY"}));
  EXPECT_EQ(spec.min_nodes, 2u);
  EXPECT_EQ(spec.max_nodes, 8u);
  EXPECT_EQ(spec.procs_per_node, 4u);
  EXPECT_EQ(spec.resources.accelerators, (model::AcceleratorRequest{.chip = "H100", .per_node = {8000}}));
  EXPECT_EQ(spec.resources.cpus.value, 12'500);
  EXPECT_EQ(spec.resources.memory.value, 64LL << 30);
  EXPECT_EQ(spec.time_limit_ms, 4 * 3'600'000);
  EXPECT_EQ(spec.restart.max, 3u);
  EXPECT_EQ(spec.restart.on, (std::vector{model::ExitClass::kTimeLimit, model::ExitClass::kUser}));
  EXPECT_EQ(spec.checkpoint.signal, "SIGUSR1");
  EXPECT_EQ(spec.checkpoint.grace_ms, 60'000);
  EXPECT_EQ(spec.topology.mode, model::TopologyRequest::Mode::kPreferred);
  ASSERT_EQ(spec.volumes.size(), 2u);
  EXPECT_EQ(spec.volumes[0].source, "/jobs/ckpt");
  EXPECT_TRUE(spec.volumes[1].is_read_only);
  ASSERT_EQ(spec.ports.size(), 4u);
  EXPECT_EQ(spec.ports[0], (model::PortRequest{.name = "8080", .container_port = 8080}));
  EXPECT_EQ(spec.ports[1], (model::PortRequest{.name = "http"}));
  EXPECT_EQ(spec.ports[2], (model::PortRequest{.name = "grpc", .container_port = 9000}));
  EXPECT_EQ(spec.array, (std::vector<std::uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(spec.array_parallel, 2u);
  EXPECT_EQ(spec.after, (std::vector<std::string>{"17", "any:18"}));
  EXPECT_EQ(spec.efficiency.parameters, 7'000'000'000);
  EXPECT_TRUE(spec.slurm_environment);
}

TEST(JobFile, ReadsWhereTheGangMayGo) {
  const model::JobSpec spec = spec_of(
      "run: x\nnodes: [8, 2, 4]\nmax_tasks_per_node: 1\nlabels: {tier: noisy}\narray: 0-3\n"
      "avoid: [label:tier=noisy, name:eval, array, array]\nany_of: ['H100:8@fp8', 8]\n");
  EXPECT_EQ(spec.min_nodes, 2u);
  EXPECT_EQ(spec.max_nodes, 8u);
  EXPECT_EQ(spec.sizes, (std::vector<std::uint32_t>{2, 4, 8}));
  EXPECT_EQ(spec.max_tasks_per_node, 1u);
  EXPECT_EQ(spec.labels, (std::map<std::string, std::string>{{"tier", "noisy"}}));
  EXPECT_EQ(spec.avoid, (std::vector<std::string>{"label:tier=noisy", "name:eval", "array"}));
  EXPECT_EQ(spec.any_of[0].precision, "fp8");
}

TEST(JobFile, JsonOfASpecIsAJobFileOfTheSameSpec) {
  for (const char* text :
       {"run: echo", "run: x\nnodes: 1..8\nelastic: live",
        "run: x\nnodes: 2,4,8\nmax_tasks_per_node: 2\nlabels: {a: b}\navoid: [name:x, label:a=b]\n"
        "resources: {accelerators: '8@bf16'}",
        "type: dev", "run: x\nresources: {accelerators: 'H100:0.5'}\nports: [http, 80]\narray: [5]",
        "run: \"#!/bin/sh\\necho 'a: b'\"\nenv: {A: ''}\ntime_limit: 1500ms\nvolumes: [/a:/b:ro]\nworkdir: /w\n"
        "checkpoint: {path: /b/c, signal: SIGINT}\nrestart: 2\nresources: {cpus: 0.25, memory: 5000001}\n"
        "nodes: 2..3\nany_of: [H100:8, 2]\nefficiency: {flops_per_token: 1.5e9, precision: bf16}"}) {
    SCOPED_TRACE(text);
    const JobSpec spec = spec_of(text);
    EXPECT_EQ(spec_of(model::to_json(spec).dump(), {}, ""), spec);
    EXPECT_EQ(spec_of(model::to_json(spec).dump_pretty(), {}, "/elsewhere"), spec);
  }
}

TEST(JobFile, NamesOfOtherProductsAreAccepted) {
  const JobSpec plain = spec_of(
      "name: a\nrun: |\n  one\n  two\nworkdir: /w\nnodes: 2\nprocs_per_node: 4\nenv: {A: '1'}\ntime_limit: 4h\n"
      "queue: q\nresources: {accelerators: '8', memory: 1G, cpus: 2}\nafter: ['3']");
  EXPECT_EQ(spec_of("job_name: a\ncommands: [one, two]\nworking_dir: /w\nnum_nodes: 2\nntasks-per-node: 4\n"
                    "envs: [A=1]\ntime: 0-04:00:00\npartition: q\nresources: {gpus: 8, mem: 1GB, cpu: 2}\n"
                    "depends_on: 3"),
            plain);
  EXPECT_EQ(spec_of("run: x\nresources: {nvidia.com/gpu: 8}").resources.accelerators,
            (model::AcceleratorRequest{.chip = "nvidia.com/gpu", .per_node = {8000}}));
  EXPECT_EQ(spec_of("run: x\nresources: {cambricon.com/mlu: '2'}").resources.accelerators,
            (model::AcceleratorRequest{.chip = "cambricon.com/mlu", .per_node = {2000}}));
  EXPECT_EQ(spec_of("run: x\nresources: {accelerators: {H100: 8}}").resources.accelerators,
            (model::AcceleratorRequest{.chip = "H100", .per_node = {8000}}));
  EXPECT_EQ(spec_of("run: x\nsecrets: {TOKEN: hub}").secrets,
            (std::vector<model::SecretRef>{{.name = "hub", .env = "TOKEN"}}));
}

TEST(JobFile, FiguresOfACardAreMinimaAndNeedCards) {
  const JobSpec spec = spec_of(
      "run: x\nprecision: bf16\nresources: {accelerators: 8, min_card_memory: 40GiB, min_card_tflops: 312.5, "
      "min_card_link: 600}");
  EXPECT_EQ(spec.resources.min_card_memory, (Bytes{40LL << 30}));
  EXPECT_EQ(spec.resources.min_card_gflops, 312'500);
  EXPECT_EQ(spec.resources.min_card_link_mbps, 600'000);
  EXPECT_EQ(spec_of(model::to_json(spec).dump(), {}, ""), spec);
  for (const char* wrong :
       {"run: x\nresources: {min_card_memory: 40GiB}", "run: x\nresources: {accelerators: 8, min_card_tflops: 300}",
        "run: x\nresources: {accelerators: 8, min_card_link: 600GB/s}"}) {
    EXPECT_FALSE(parse_job_file(wrong, {}, "/").is_valid) << wrong;
  }
}

TEST(JobFile, AllErrorsComeInOneAnswerInFileOrder) {
  const ParsedJob parsed =
      parse_job_file("naem: x\nnodes: none\nresources:\n  acelerators: 8\n  cpus: lots\nqueue: A B\n");
  EXPECT_FALSE(parsed.is_valid);
  std::vector<std::pair<int, int>> places;
  for (const Diagnostic& diagnostic : parsed.diagnostics) {
    places.emplace_back(diagnostic.position.line, diagnostic.position.column);
  }
  EXPECT_EQ(places, (std::vector<std::pair<int, int>>{{1, 1}, {1, 1}, {2, 8}, {4, 3}, {5, 9}, {6, 8}}))
      << errors_of(parsed);
  EXPECT_EQ(find_diagnostic(parsed, "naem")->hint, "did you mean \"name\"?");
  EXPECT_EQ(find_diagnostic(parsed, "resources.acelerators")->hint, "did you mean \"accelerators\"?");
}

TEST(JobFile, WhatThisVersionCannotCarryOutIsRefused) {
  for (const char* text :
       {"run: x\ndatasets: [imagenet]", "run: x\nidle: {after: 10m}", "run: x\nresources: {disk: 10G}"}) {
    SCOPED_TRACE(text);
    const ParsedJob parsed = parse_job_file(text);
    EXPECT_FALSE(parsed.is_valid);
    ASSERT_EQ(parsed.diagnostics.size(), 1u);
    EXPECT_NE(parsed.diagnostics[0].message.find("not carried out by this version"), std::string::npos);
    EXPECT_FALSE(parsed.diagnostics[0].hint.empty());
  }
}

TEST(JobFile, AServiceHasDefaultsAndShorthands) {
  const ParsedJob bare = parse_job_file("type: service\nrun: serve");
  ASSERT_TRUE(bare.is_valid) << errors_of(bare);
  EXPECT_EQ(bare.spec.name, "service");
  EXPECT_EQ(bare.spec.launcher, model::Launcher::kNone);
  EXPECT_EQ(bare.spec.service, model::ServiceSpec{});

  const ParsedJob full = parse_job_file(R"(
name: chat
type: service
run: serve
service:
  replicas: 0..8
  warm: 1
  target: 4
  health: /healthz
  drain: 5s
  hosts: Chat.Example
  models: [tiny]
  concurrency: 2
  max_body: 1MiB
  auth: key
  allow: [research, ada]
  requests: 100/s
  tokens: 50000/m
  adapters: [fr]
  affinity: {by: cookie, name: SID, bound: 1.5}
  mirror: {to: shadow, percent: 10}
  hedge: {after: 300ms}
  canary: {weight: 5, abort_above_error_rate: 0.02, abort_above_latency: 1.5, header: "X-Canary: yes"}
)");
  ASSERT_TRUE(full.is_valid) << errors_of(full);
  const model::ServiceSpec& service = *full.spec.service;
  EXPECT_EQ(service.min_replicas, 0u);
  EXPECT_EQ(service.max_replicas, 8u);
  EXPECT_EQ(service.warm, 1u);
  EXPECT_EQ(service.protocol, model::ReplicaProtocol::kHttp1);
  EXPECT_EQ(service.health.path, "/healthz");
  EXPECT_EQ(service.hosts, std::vector<std::string>{"chat.example"});
  EXPECT_EQ(service.limits.concurrency, 2u);
  EXPECT_EQ(service.limits.max_body_bytes, 1 << 20);
  EXPECT_EQ(service.canary->abort_above_permille, 20u);
  EXPECT_EQ(service.canary->abort_above_latency_permille, 1'500u);
  EXPECT_EQ(service.canary->header, "x-canary");
  EXPECT_EQ(service.canary->header_value, "yes");
  EXPECT_EQ(service.adapters, std::vector<std::string>{"fr"});
  EXPECT_EQ(
      service.traffic,
      (model::TrafficPolicy{.affinity = {.kind = model::AffinityKind::kCookie, .name = "SID", .bound_permille = 1'500},
                            .mirror = {.to = "shadow", .percent = 10},
                            .hedge = {.after_ms = 300}}));
  EXPECT_EQ(
      service.access,
      (model::ServiceAccess{.auth = model::ServiceAuth::kKey,
                            .allow = {"research", "ada"},
                            .rates = {.requests = {.count = 100}, .tokens = {.count = 50'000, .period_ms = 60'000}}}));
  EXPECT_NE(errors_of(parse_job_file("type: service\nrun: x\nservice: {requests: 5}")).find("like 10/s"),
            std::string::npos);
}

TEST(JobFile, ReplicasMaySpeakHttp2) {
  const ParsedJob parsed = parse_job_file("name: s\ntype: service\nrun: serve\nservice: {protocol: http2}\n");
  ASSERT_TRUE(parsed.is_valid) << errors_of(parsed);
  EXPECT_EQ(parsed.spec.service->protocol, model::ReplicaProtocol::kHttp2);
  const auto health = [](const std::string& text) {
    const ParsedJob job =
        parse_job_file("name: s\ntype: service\nrun: serve\nservice: {protocol: http2, health: " + text + "}\n");
    EXPECT_TRUE(job.is_valid) << errors_of(job);
    return job.spec.service->health;
  };
  EXPECT_EQ(health("/healthz").path, "/healthz");
  EXPECT_EQ(health("grpc").grpc, "");
  EXPECT_EQ(health("{grpc: a.Service}").grpc, "a.Service");
  for (const char* wrong : {"{protocol: http3}", "{health: grpc}", "{health: {grpc: a}}",
                            "{protocol: http2, health: {grpc: a, path: /healthz}}"}) {
    SCOPED_TRACE(wrong);
    EXPECT_FALSE(parse_job_file("name: s\ntype: service\nrun: serve\nservice: " + std::string(wrong) + "\n").is_valid);
  }
}

TEST(JobFile, ForeignKeysGetAHint) {
  for (const char* key :
       {"image_id", "docker", "gpus", "cpus", "memory", "file_mounts", "apiVersion", "max_restarts"}) {
    SCOPED_TRACE(key);
    const ParsedJob parsed = parse_job_file("run: x\n" + std::string(key) + ": 1\n");
    const Diagnostic* diagnostic = find_diagnostic(parsed, key);
    ASSERT_NE(diagnostic, nullptr);
    EXPECT_EQ(diagnostic->position, (TextPosition{.line = 2, .column = 1}));
    EXPECT_FALSE(diagnostic->hint.empty());
    EXPECT_EQ(diagnostic->hint.find("did you mean"), std::string::npos);
  }
}

TEST(JobFile, RulesBetweenFieldsHold) {
  struct Case {
    const char* text;
    const char* field;
  };
  for (const Case& c : std::vector<Case>{
           {"name: x", "run"},
           {"run: '  '", "run"},
           {"type: dev\nnodes: 2", "nodes"},
           {"type: dev\narray: 0-3", "array"},
           {"type: dev\nlauncher: mpirun", "launcher"},
           {"run: x\nresources: {gpus: 'H100:0.5'}\nlauncher: torchrun", "launcher"},
           {"run: x\nresources: {gpus: 'H100:0.5'}\nprocs_per_node: 2", "procs_per_node"},
           {"run: x\nlauncher: direct\nresources: {gpus: 2}\nprocs_per_node: 4", "procs_per_node"},
           {"run: x\nresources: {gpus: 2}\nany_of: [3]", "any_of"},
           {"run: x\ntopology: {required: leaf, preferred: node}", "topology.preferred"},
           {"run: x\narray: 3\narray_index: 1", "array_index"},
           {"run: x\nefficiency: {parameters: 7B, flops_per_token: 1}", "efficiency.parameters"},
           {"run: x\nvolumes: [data:/data]", "volumes[0]"},
           {"run: x\nvolumes: [/a:/b, /c:/b/]", "volumes[1]"},
           {"run: x\nvolumes: [/a:b]", "volumes[0]"},
           {"run: x\nvolumes: [/a:/proc/x]", "volumes[0]"},
           {"run: x\nnum_nodes: 2\nnodes: 3", "nodes"},
           {"run: x\nsecrets: {A: s}\nenv: {A: 1}", "secrets"},
           {"run: x\nimage: oci:/a\nworkdir: b", "workdir"},
           {"run: x\ncheckpoint: {path: ckpt}\nimage: oci:/a", "checkpoint.path"},
           {"run: x\ntype: service\nservice: {affinity: {by: cookie}}", "service.affinity"},
           {"run: x\ntype: service\nservice: {affinity: {name: sid}}", "service.affinity"},
           {"run: x\ntype: service\nservice: {mirror: {percent: 5}}", "service.mirror"},
           {"run: x\ntype: service\nservice: {hedge: {percent: 5}}", "service.hedge"},
           {"run: x\ntype: service\nservice: {canary: {weight: 0}}", "service.canary.weight"},
       }) {
    SCOPED_TRACE(c.text);
    const ParsedJob parsed = parse_job_file(c.text, {}, "/jobs");
    EXPECT_FALSE(parsed.is_valid);
    EXPECT_NE(find_diagnostic(parsed, c.field), nullptr) << errors_of(parsed);
  }
}

TEST(JobFile, WarningsLeaveTheJobValid) {
  for (const char* text :
       {"run: x\nenv: {MASTER_ADDR: a}", "run: x\nrestart: {on: user}", "run: x\nimage: oci:/a\ncheckpoint: /ckpt"}) {
    SCOPED_TRACE(text);
    const ParsedJob parsed = parse_job_file(text, {}, "/jobs");
    EXPECT_TRUE(parsed.is_valid);
    ASSERT_EQ(parsed.diagnostics.size(), 1u);
    EXPECT_TRUE(parsed.diagnostics[0].is_warning);
  }
}

TEST(JobFile, LauncherFollowsFromWhatIsAsked) {
  EXPECT_EQ(spec_of("run: x").launcher, Launcher::kTorchrun);
  EXPECT_EQ(spec_of("type: dev").launcher, Launcher::kNone);
  EXPECT_EQ(spec_of("run: x\nresources: {accelerators: 'H100:0.5'}").launcher, Launcher::kNone);
  EXPECT_EQ(spec_of("run: x\nresources: {accelerators: 'H100:0.5'}\nlauncher: direct").launcher, Launcher::kDirect);
}

TEST(JobFile, RelativePathsBelongToTheJobFilesFolder) {
  const JobSpec spec = spec_of(
      "run: x\nworkdir: sub/../src\nvolumes: [\"../data:/data\", \".:/here\"]\n"
      "checkpoint: {path: /data/ckpt}",
      {}, "/home/u/jobs");
  EXPECT_EQ(spec.workdir, "/home/u/jobs/src");
  EXPECT_EQ(spec.volumes[0].source, "/home/u/data");
  EXPECT_EQ(spec.volumes[1].source, "/home/u/jobs");
  EXPECT_FALSE(parse_job_file("run: x\nvolumes: [./a:/a]").is_valid);
}

TEST(Overrides, ShellTextAndVariablesAreTakenAsTheyStand) {
  const JobSpec spec =
      spec_of("run: x\n", {"run=[ -f /x ] && echo {a}", "env.LIST=[1, 2", "env.EMPTY=", "setup={ true; }"});
  EXPECT_EQ(spec.run, "[ -f /x ] && echo {a}");
  EXPECT_EQ(spec.setup, "{ true; }");
  EXPECT_EQ(spec.env, (std::map<std::string, std::string>{{"EMPTY", ""}, {"LIST", "[1, 2"}}));
}

TEST(Overrides, ReplaceWhatTheFileSays) {
  const std::string file = "run: x\nnum_nodes: 2\nresources: {gpus: 2, cpus: 1}\nrestart: 3\nenv: [A=1, B=2]\n";
  const JobSpec spec = spec_of(
      file, {"nodes=4", "resources.accelerators=H100:8", "restart.max=5", "env.A=7", "time_limit=2h", "run=echo a: b"});
  EXPECT_EQ(spec.min_nodes, 4u);
  EXPECT_EQ(spec.resources.accelerators->chip, "H100");
  EXPECT_EQ(spec.resources.cpus.value, 1000);
  EXPECT_EQ(spec.restart.max, 5u);
  EXPECT_EQ(spec.run, "echo a: b");
  EXPECT_EQ(spec.time_limit_ms, 7'200'000);
}

}  // namespace
}  // namespace busbar::launch

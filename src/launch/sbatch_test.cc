#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "launch/job_file.h"

namespace busbar::launch {
namespace {

ParsedJob parse(const std::string& options) {
  return parse_sbatch("#!/bin/bash\n" + options + "echo hello\n#SBATCH --nodes=99\n", {}, "/jobs");
}

std::string report(const ParsedJob& parsed) {
  return format_diagnostics("job.sh", "", parsed.diagnostics);
}

TEST(Sbatch, OptionsBecomeFields) {
  const ParsedJob parsed = parse(
      "# a comment\n#SBATCH --job-name=Train -N 2-4\n#SBATCH --ntasks-per-node 2 --gres=gpu:H100:8\n"
      "#SBATCH -t 90 -p long -A vision --mem=64G  # why\n\n#SBATCH --cpus-per-task=4 --array=0-9%2\n"
      "#SBATCH --dependency=afterok:17:18,afterany:19 --export=NONE,A=1 --signal=B:USR1@60 --chdir=\"/my dir\"\n");
  ASSERT_TRUE(parsed.is_valid) << report(parsed);
  const model::JobSpec& spec = parsed.spec;
  EXPECT_EQ(spec.name, "train");
  EXPECT_EQ(spec.min_nodes, 2u);
  EXPECT_EQ(spec.max_nodes, 4u);
  EXPECT_EQ(spec.procs_per_node, 2u);
  EXPECT_EQ(spec.resources.accelerators, (model::AcceleratorRequest{.chip = "H100", .per_node = {8000}}));
  EXPECT_EQ(spec.time_limit_ms, 90 * 60'000);
  EXPECT_EQ(spec.queue, "long");
  EXPECT_EQ(spec.project, "vision");
  EXPECT_EQ(spec.resources.memory.value, 64LL << 30);
  EXPECT_EQ(spec.resources.cpus.value, 8000);
  EXPECT_EQ(spec.array.size(), 10u);
  EXPECT_EQ(spec.array_parallel, 2u);
  EXPECT_EQ(spec.after, (std::vector<std::string>{"ok:17", "ok:18", "any:19"}));
  EXPECT_EQ(spec.env, (std::map<std::string, std::string>{{"A", "1"}}));
  EXPECT_EQ(spec.checkpoint.signal, "SIGUSR1");
  EXPECT_EQ(spec.checkpoint.grace_ms, 60'000);
  EXPECT_EQ(spec.workdir, "/my dir");
  EXPECT_TRUE(spec.slurm_environment);
  EXPECT_EQ(spec.launcher, model::Launcher::kNone);
  EXPECT_EQ(spec.run.substr(0, 12), "#!/bin/bash\n");
}

TEST(Sbatch, TotalsAreDividedByNodes) {
  const ParsedJob parsed = parse("#SBATCH --nodes=2 --ntasks=8 --gpus=h100:4 --mem-per-cpu=1000\n");
  ASSERT_TRUE(parsed.is_valid) << report(parsed);
  EXPECT_EQ(parsed.spec.procs_per_node, 4u);
  EXPECT_EQ(parsed.spec.resources.accelerators->per_node.value, 2000);
  EXPECT_EQ(parsed.spec.resources.memory.value, 4000LL << 20);
}

TEST(Sbatch, OptionsWithoutMeaningWarnAndOthersAreRefused) {
  const ParsedJob warned = parse("#SBATCH -o out.txt --mail-type=END\n");
  EXPECT_TRUE(warned.is_valid) << report(warned);
  EXPECT_EQ(warned.diagnostics.size(), 2u);
  const ParsedJob refused = parse("#SBATCH --exclusive\n#SBATCH  --nodlist=a\n#SBATCH --nodes=0\n");
  EXPECT_FALSE(refused.is_valid);
  ASSERT_EQ(refused.diagnostics.size(), 3u) << report(refused);
  EXPECT_EQ(refused.diagnostics[0].position, (TextPosition{.line = 2, .column = 9}));
  EXPECT_EQ(refused.diagnostics[1].hint, "did you mean --nodelist?");
  EXPECT_EQ(refused.diagnostics[2].position.line, 4);
}

TEST(Sbatch, OverridesWin) {
  const ParsedJob parsed = parse_sbatch("#!/bin/sh\n#SBATCH -N 2\ntrue\n", {"nodes=3", "launcher=direct"}, "/jobs");
  ASSERT_TRUE(parsed.is_valid) << report(parsed);
  EXPECT_EQ(parsed.spec.min_nodes, 3u);
  EXPECT_EQ(parsed.spec.launcher, model::Launcher::kDirect);
}

TEST(Sbatch, IsToldFromAJobFile) {
  EXPECT_TRUE(looks_like_sbatch("#!/bin/sh\n"));
  EXPECT_TRUE(looks_like_sbatch("# x\n#SBATCH -N 1\n"));
  EXPECT_FALSE(looks_like_sbatch("#SBATCHES are comments\nname: a"));
  EXPECT_FALSE(looks_like_sbatch("# x\nname: a\n#SBATCH -N 1\n"));
  EXPECT_FALSE(looks_like_sbatch(""));
}

TEST(Sbatch, AnyBytesGiveAnAnswer) {
  for (const std::string& text : {std::string("#SBATCH -"), std::string("#SBATCH --="), std::string("#SBATCH -\xff"),
                                  std::string("#SBATCH \"a\n"), std::string("\0", 1),
                                  std::string("#SBATCH -N\n#SBATCH --export==,A=\n#SBATCH --gres=::\n")}) {
    EXPECT_FALSE(parse_sbatch(text).diagnostics.empty());
  }
}

}  // namespace
}  // namespace busbar::launch

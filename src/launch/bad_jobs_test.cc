// Malformed job files: each must be answered with diagnostics, never with a crash. Those written by hand lie in
// tests/data/bad_jobs with what is expected of them (UPDATE_GOLDEN=1 writes that anew); the others are made here from
// good files by deterministic damage.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "base/test_paths.h"
#include "launch/job_file.h"
#include "model/job_json.h"

namespace busbar::launch {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kTogether = 300;

fs::path folder() {
  return fs::path(BUSBAR_SOURCE_DIR) / "tests" / "data" / "bad_jobs";
}

std::string read(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<fs::path> files_of(const fs::path& where, const std::string& extension) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(where)) {
    if (entry.path().extension() == extension) {
      paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<std::string> good_files() {
  std::vector<std::string> texts;
  for (const fs::path& path : files_of(fs::path(BUSBAR_SOURCE_DIR) / "examples", ".yaml")) {
    texts.push_back(read(path));
  }
  const model::JobSpec spec = parse_job_file(texts.front(), {}, "/jobs").spec;
  texts.push_back(model::to_json(spec).dump_pretty());
  return texts;
}

/// One small damage, chosen by `random`: what a hurried hand or a broken editor does.
std::string damaged(std::string text, std::mt19937& random) {
  const auto pick = [&random](std::size_t bound) {
    return static_cast<std::size_t>(random() % std::max<std::size_t>(bound, 1));
  };
  const std::size_t at = pick(text.size());
  switch (pick(7)) {
    case 0:
      return text.substr(0, at);
    case 1:
      text.erase(at, 1 + pick(8));
      return text;
    case 2:
      text.insert(at, 1, "{}[]:,\"'\t\n#&*!|>%@`-\0\xff"[pick(22)]);
      return text;
    case 3:
      std::swap(text[at], text[pick(text.size())]);
      return text;
    case 4:
      text.insert(at, text.substr(pick(text.size()), 1 + pick(40)));
      return text;
    case 5:
      text[at] = static_cast<char>(random());
      return text;
    default: {
      const std::size_t colon = text.find(':', at);
      return colon == std::string::npos ? text + ": -1" : text.insert(colon + 1, " -1 #");
    }
  }
}

void expect_answer(const ParsedJob& parsed, const std::string& text) {
  const bool has_error = std::any_of(parsed.diagnostics.begin(), parsed.diagnostics.end(),
                                     [](const Diagnostic& diagnostic) { return !diagnostic.is_warning; });
  EXPECT_NE(parsed.is_valid, has_error) << text;
  for (const Diagnostic& diagnostic : parsed.diagnostics) {
    EXPECT_FALSE(diagnostic.message.empty()) << text;
    EXPECT_GT(diagnostic.position.line, 0) << text << "\n" << diagnostic.message;
  }
  format_diagnostics("job.yaml", text, parsed.diagnostics);
}

TEST(BadJobs, EachGivesTheExpectedDiagnostics) {
  std::string actual;
  for (const fs::path& path : files_of(folder(), ".yaml")) {
    SCOPED_TRACE(path.filename());
    const std::string text = read(path);
    const ParsedJob parsed = parse_job_file(text);
    EXPECT_FALSE(parsed.is_valid);
    expect_answer(parsed, text);
    actual += format_diagnostics(path.filename().string(), "", parsed.diagnostics) + "\n";
  }
  const fs::path golden = folder() / "expected.txt";
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::ofstream(golden) << actual;
  }
  EXPECT_EQ(actual, read(golden));
}

TEST(BadJobs, DamagedFilesGetAnAnswer) {
  const std::size_t by_hand = files_of(folder(), ".yaml").size();
  ASSERT_GE(by_hand, 60u);
  const std::vector<std::string> good = good_files();
  std::mt19937 random(2);
  for (std::size_t number = by_hand; number < kTogether; ++number) {
    std::string text = good[number % good.size()];
    for (std::size_t damage = 0; damage <= number % 3; ++damage) {
      text = damaged(std::move(text), random);
    }
    SCOPED_TRACE(number);
    expect_answer(parse_job_file(text, {}, "/jobs"), text);
  }
}

TEST(BadJobs, ExamplesAreGood) {
  for (const fs::path& path : files_of(fs::path(BUSBAR_SOURCE_DIR) / "examples", ".yaml")) {
    SCOPED_TRACE(path.filename());
    const std::string text = read(path);
    const ParsedJob parsed = parse_job_file(text, {}, "/jobs");
    EXPECT_TRUE(parsed.is_valid && parsed.diagnostics.empty())
        << format_diagnostics("job.yaml", text, parsed.diagnostics);
  }
  const std::string script = read(fs::path(BUSBAR_SOURCE_DIR) / "examples" / "hello.sh");
  EXPECT_TRUE(looks_like_sbatch(script));
  const ParsedJob parsed = parse_sbatch(script, {}, "/jobs");
  EXPECT_TRUE(parsed.is_valid && parsed.diagnostics.empty());
}

TEST(Diagnostics, ShowTheLineWithACaret) {
  const std::string text = "run: x\nresources:\n  memroy: 8G\n";
  const ParsedJob parsed = parse_job_file(text);
  EXPECT_EQ(format_diagnostics("jobs/x.yaml", text, parsed.diagnostics),
            "jobs/x.yaml:3:3: error: resources.memroy: unknown key\n"
            "      memroy: 8G\n"
            "      ^\n"
            "    hint: did you mean \"memory\"?\n");
}

TEST(Diagnostics, OfOverridesHaveNoLine) {
  const ParsedJob parsed = parse_job_file("run: x\n", {"nodes=none", "nonsense"});
  const std::string text = format_diagnostics("x.yaml", "run: x\n", parsed.diagnostics);
  EXPECT_EQ(text.find("x.yaml: error: "), 0u) << text;
  EXPECT_NE(text.find("nodes"), std::string::npos);
}

TEST(Diagnostics, AreBoundedForAFileThatIsNoJobFile) {
  std::string text;
  for (int line = 0; line < 5000; ++line) {
    text += "key" + std::to_string(line) + ": 1\n";
  }
  const ParsedJob parsed = parse_job_file(text);
  EXPECT_LE(parsed.diagnostics.size(), 101u);
  EXPECT_NE(parsed.diagnostics.back().message.find("more"), std::string::npos);
}

}  // namespace
}  // namespace busbar::launch

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <random>

#include "store/sqlite/test_support.h"

namespace busbar::store {

namespace {

/// Step n touches every table; its content is a function of n, so that a half-written step shows.
Transaction step(std::uint64_t n) {
  const std::string text = std::to_string(n);
  Transaction transaction{.frames = {{n, std::string(n % 9'000, 'f')}},
                          .jobs = {{.id = {n}, .name = "job", .spec_json = std::string(n % 5'000, 's')},
                                   {.id = {1}, .name = "job", .status_json = text}},
                          .attempts = {{.id = {{1}, 1}, .status_json = text}},
                          .events = {{.id = n, .kind = "step", .text = text}},
                          .meta = {{"last", text}}};
  if (n == 1) transaction.jobs.pop_back();
  if (n % 20 == 0) {
    transaction.snapshot = text;
    transaction.snapshot_sequence = n;
  }
  return transaction;
}

/// The child: commits step after step and acknowledges each by 8 bytes in the pipe, until it is killed.
[[noreturn]] void commit_forever(const std::string& path, int acknowledgements) {
  auto store = open_sqlite_store({.path = path, .is_synchronous_full = false});
  if (!store) _exit(2);
  for (std::uint64_t n = (*store)->last_sequence().value_or(0) + 1;; ++n) {
    if (!(*store)->commit(step(n))) _exit(3);
    if (write(acknowledgements, &n, sizeof n) != sizeof n) _exit(4);
  }
}

void expect_whole_steps_up_to(Store& store, std::uint64_t acknowledged) {
  const std::uint64_t last = store.last_sequence().value();
  ASSERT_GE(last, acknowledged) << "an acknowledged commit is gone";
  ASSERT_LE(last, acknowledged + 1) << "more steps than were ever begun";
  const std::string text = std::to_string(last);
  EXPECT_EQ(store.meta("last").value(), text);
  EXPECT_EQ(store.last_job_id().value().value, last);
  EXPECT_EQ(store.last_event_id().value(), last);
  EXPECT_EQ(store.attempts({1}).value().at(0).status_json, text);
  EXPECT_EQ(store.job({1}).value()->status_json, last > 1 ? text : "");
  EXPECT_EQ(store.latest_snapshot().value().value_or(SnapshotRow{}).sequence, last / 20 * 20);
  std::uint64_t expected = 0;
  EXPECT_TRUE(store.read_frames(0, [&](std::uint64_t sequence, std::string_view bytes) -> Result<void> {
    EXPECT_EQ(sequence, ++expected);
    EXPECT_EQ(bytes.size(), sequence % 9'000);
    return {};
  }));
  EXPECT_EQ(expected, last);
  EXPECT_TRUE(store.verify());
}

TEST(Crash, EveryAcknowledgedCommitSurvivesKill9AndNoneIsThereInHalf) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("busbar.db");
  constexpr std::uint32_t kSeed = 20'231'123;
  std::mt19937 random(kSeed);
  std::uint64_t acknowledged = 0;
  for (int round = 0; round < 50; ++round) {
    SCOPED_TRACE("round " + std::to_string(round) + " of seed " + std::to_string(kSeed));
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) commit_forever(path, ends[1]);
    close(ends[1]);
    const std::uint64_t wanted = random() % 40;
    std::uint64_t last = acknowledged;
    for (std::uint64_t i = 0; i < wanted && read(ends[0], &last, sizeof last) == sizeof last; ++i) {
    }
    // Somewhere inside one of the next commits (one takes about 100 us), not just behind an acknowledgement.
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 400);
    while (std::chrono::steady_clock::now() < until) {
    }
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with status " << WEXITSTATUS(status);
    while (read(ends[0], &last, sizeof last) == sizeof last) {
    }
    close(ends[0]);
    acknowledged = last;
    const auto store = open_store(path);
    ASSERT_NE(store, nullptr);
    expect_whole_steps_up_to(*store, acknowledged);
    if (HasFatalFailure()) return;
    acknowledged = store->last_sequence().value();
  }
  EXPECT_GT(acknowledged, 100u);
}

}  // namespace

}  // namespace busbar::store

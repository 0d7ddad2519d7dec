#include <gtest/gtest.h>

#include "control/ledger.h"
#include "launch/job_file.h"
#include "os/system_clock.h"
#include "os/test_dir.h"
#include "store/sqlite/sqlite_store.h"

namespace busbar::control {
namespace {

TEST(LedgerSnapshot, ComesOnceTheJournalIsAsLargeAsTheLastOne) {
  const os::TestDir dir;
  const os::SystemClock clock;
  auto store = store::open_sqlite_store({.path = dir.path() + "/busbar.db", .is_synchronous_full = false});
  ASSERT_TRUE(store);
  Ledger ledger(clock, **store, {.snapshot_every_steps = 1});
  ASSERT_TRUE(ledger.recover());
  std::vector<model::Node> nodes;
  for (std::uint64_t id = 1; id <= 200; ++id) {
    nodes.push_back({.id = {id}, .name = "n" + std::to_string(id), .cards = {{.index = 0, .chip = "cpu"}}});
  }
  ASSERT_TRUE(ledger.observe_nodes(nodes));
  const Step first = ledger.take_step();
  ASSERT_TRUE(first.transaction.snapshot.has_value()) << "the first one is not waited for";
  const std::size_t snapshot_bytes = first.transaction.snapshot->size();

  const model::JobSpec spec = launch::parse_job_file("name: one\nrun: exit 0\n").spec;
  std::size_t journal_bytes = 0;
  std::size_t steps = 0;
  for (bool is_due = false; !is_due; ++steps) {
    ASSERT_LT(journal_bytes, 2 * snapshot_bytes) << "no second snapshot";
    ASSERT_TRUE(ledger.submit({.members = {spec}, .user = "ada"}));
    const Step step = ledger.take_step();
    for (const auto& frame : step.transaction.frames) journal_bytes += frame.bytes.size();
    is_due = step.transaction.snapshot.has_value();
    EXPECT_EQ(is_due, journal_bytes >= snapshot_bytes);
  }
  EXPECT_GT(steps, 5U) << "a large state is not written after each step";
}

}  // namespace
}  // namespace busbar::control

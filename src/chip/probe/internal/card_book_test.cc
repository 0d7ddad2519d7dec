#include "chip/probe/internal/card_book.h"

#include <gtest/gtest.h>

namespace busbar::chip::probe {
namespace {

SeenCard seen(std::string device, std::string chip = "chip") {
  return {.found = {.card = {.chip = std::move(chip), .device = std::move(device)}}};
}

std::vector<std::string> devices(const std::vector<engine::ProbedCard>& cards) {
  std::vector<std::string> names;
  for (const engine::ProbedCard& card : cards) {
    const bool is_healthy = card.card.health == model::CardHealth::kHealthy;
    names.push_back((is_healthy ? "" : "!") + card.card.device);
  }
  return names;
}

using Names = std::vector<std::string>;

TEST(CardBook, KeepsIndicesWhateverTheOrder) {
  CardBook book("");
  EXPECT_EQ(devices(book.update({seen("pci:a"), seen("pci:b")})), (Names{"pci:a", "pci:b"}));
  EXPECT_EQ(devices(book.update({seen("pci:c"), seen("pci:b")})), (Names{"!pci:a", "pci:b", "pci:c"}));
  EXPECT_EQ(devices(book.update({seen("pci:a"), seen("pci:b"), seen("pci:c")})), (Names{"pci:a", "pci:b", "pci:c"}));
}

TEST(CardBook, ANewPartitionTakesTheIndexOfOneThatIsGone) {
  CardBook book("");
  book.update({seen("mig:a"), seen("mig:b"), seen("pci:z")});
  EXPECT_EQ(devices(book.update({seen("mig:b"), seen("mig:c"), seen("mig:d"), seen("pci:z")})),
            (Names{"mig:c", "mig:b", "pci:z", "mig:d"}));
  EXPECT_EQ(devices(book.update({seen("mig:b"), seen("pci:z")})), (Names{"!mig:c", "mig:b", "pci:z", "!mig:d"}));
}

TEST(CardBook, AFailureStaysUntilTheCardHasLeft) {
  CardBook book("");
  SeenCard broken = seen("pci:a");
  broken.failure = "Xid 79";
  EXPECT_EQ(book.update({broken})[0].health_detail, "Xid 79");
  EXPECT_EQ(devices(book.update({seen("pci:a")})), (Names{"!pci:a"}));
  book.update({});
  EXPECT_EQ(devices(book.update({seen("pci:a")})), (Names{"pci:a"}));
}

TEST(CardBook, ErrorsCountFromTheFirstSight) {
  CardBook book("");
  SeenCard card = seen("pci:a");
  card.error_count = 5;
  EXPECT_EQ(devices(book.update({card})), (Names{"pci:a"}));
  card.error_count = 7;
  EXPECT_EQ(book.update({card})[0].health_detail, "2 uncorrectable PCIe errors since busbar started (AER)");
}

TEST(CardBook, AFaultOfNowIsSaidBeforeAnOldFailure) {
  CardBook book("");
  SeenCard card = seen("pci:a");
  card.failure = "Xid 79";
  card.fault = "/dev/nvidia0 is missing";
  EXPECT_EQ(book.update({card})[0].health_detail, "/dev/nvidia0 is missing");
  EXPECT_EQ(book.update({seen("pci:a")})[0].health_detail, "Xid 79");
}

TEST(CardBook, CpuCardsThatShareACpuStayApart) {
  CardBook book("");
  EXPECT_EQ(devices(book.update({seen("cpu:0", "cpu"), seen("cpu:0", "cpu")})), (Names{"cpu:0", "cpu:0"}));
  EXPECT_EQ(devices(book.update({seen("cpu:0", "cpu"), seen("pci:a")})), (Names{"cpu:0", "!cpu:0", "pci:a"}));
}

}  // namespace
}  // namespace busbar::chip::probe

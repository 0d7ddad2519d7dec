#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <stdlib.h>

#include <string>

#include "base/check.h"
#include "chip/builtin_catalogue.h"
#include "chip/probe/fake_host.h"
#include "chip/probe/host_probe.h"
#include "os/files.h"

// How long it takes to look at a host with 16 cards among 200 other devices on the bus (docs/results.md). The host is
// made in memory, as sysfs is.
namespace busbar::chip::probe {
namespace {

std::string big_host() {
  std::string text = "pci:\n";
  for (int i = 0; i < 16; ++i) {
    text += fmt::format(
        "  \"0000:{0:02x}:00.0\": {{id: \"1da3:1020\", driver: habanalabs, numa: {1}, under: "
        "\"pci0000:{2:02x}/0000:{2:02x}:01.0/0000:{3:02x}:00.0\", files: {{aer_dev_fatal: TOTAL_ERR_FATAL 0, "
        "aer_dev_nonfatal: TOTAL_ERR_NONFATAL 0}}, nodes: accel/accel{4}=accel/accel{4} "
        "accel/accel_controlD{4}=accel/accel_controlD{4}}}\n",
        16 + i * 8, i / 8, 16 + (i / 2) * 16, 17 + (i / 2) * 16, i);
  }
  for (int i = 0; i < 200; ++i) {
    text += fmt::format("  \"0001:{:02x}:{:02x}.0\": {{id: \"8086:3400\", class: \"0x088000\"}}\n", i / 32, i % 32);
  }
  return text;
}

void scan_sixteen_cards(benchmark::State& state) {
  std::string root = "/dev/shm/busbar-discovery-XXXXXX";
  CHECK(::mkdtemp(root.data()) != nullptr);
  CHECK(FakeHost::build(root, big_host()).has_value());
  const auto probe = make_host_probe({.root = root}, {&builtin_catalogue(), [](const Catalogue*) {}});
  for (auto _ : state) {
    const auto inventory = probe->scan();
    CHECK(inventory.has_value() && inventory->cards.size() == 16 && inventory->problems.empty());
  }
  CHECK(os::remove_tree(root).has_value());
}
BENCHMARK(scan_sixteen_cards)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace busbar::chip::probe

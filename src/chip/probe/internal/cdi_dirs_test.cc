#include "chip/probe/internal/cdi_dirs.h"

#include <gtest/gtest.h>

#include "chip/builtin_catalogue.h"
#include "chip/probe/fake_host.h"
#include "chip/probe/host_probe.h"
#include "os/test_dir.h"

namespace busbar::chip::probe {
namespace {

constexpr std::string_view kHost = R"(
pci:
  "0000:1b:00.0": {id: "10de:26b9", class: "0x030200", driver: nvidia}
  "0000:1c:00.0": {id: "10de:26b9", class: "0x030200", driver: nvidia}
dev: nvidia0=195:0 nvidia1=195:1 nvidiactl=195:255 nvidia-uvm=510:0
files:
  /proc/driver/nvidia/gpus/0000:1b:00.0/information: "Device Minor: 1\n"
  /proc/driver/nvidia/gpus/0000:1c:00.0/information: "Device Minor: 0\n"
  /etc/cdi/nvidia.yaml: |
    cdiVersion: "0.5.0"
    kind: nvidia.com/gpu
    containerEdits:
      env: [NVIDIA_CTK=yes]
      deviceNodes: [{path: /dev/nvidiactl}]
    devices:
      - {name: "0", containerEdits: {deviceNodes: [{path: /dev/nvidia0}]}}
      - {name: "1", containerEdits: {deviceNodes: [{path: /dev/nvidia1}]}}
      - {name: all, containerEdits: {deviceNodes: [{path: /dev/nvidia0}, {path: /dev/nvidia1}]}}
  /etc/cdi/broken.json: "{\"cdiVersion\": 5"
  /etc/cdi/notes.txt: nothing
)";

TEST(CdiDirs, GiveEachCardTheDeviceThatHasItsNodeAlone) {
  const os::TestDir dir;
  const FakeHost host = FakeHost::build(dir.path(), kHost).value();
  const auto probe =
      make_host_probe({.root = host.root(), .offers_cpus = false}, {&builtin_catalogue(), [](const Catalogue*) {}});
  const engine::Inventory found = probe->scan().value();
  ASSERT_EQ(found.problems.size(), 1U);
  EXPECT_EQ(found.problems[0].path, "/etc/cdi/broken.json");
  ASSERT_EQ(found.cards.size(), 2U);
  EXPECT_EQ(found.cards[0].facts.cdi_devices, std::vector<std::string>{"nvidia.com/gpu=1"});
  EXPECT_EQ(found.cards[1].facts.cdi_devices, std::vector<std::string>{"nvidia.com/gpu=0"});
  const OciEdits edits = probe->edits_for({found.cards[0].card}, {1000}).value();
  EXPECT_EQ(edits.env.at("NVIDIA_CTK"), "yes");
  std::vector<std::string> paths;
  for (const DeviceNode& node : edits.devices) {
    paths.push_back(node.path);
    EXPECT_EQ(node.host_path, host.root() + node.path);
  }
  EXPECT_EQ(paths, (std::vector<std::string>{"/dev/nvidiactl", "/dev/nvidia1"}));
}

}  // namespace
}  // namespace busbar::chip::probe

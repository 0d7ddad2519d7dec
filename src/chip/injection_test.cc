#include "chip/injection.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "chip/builtin_catalogue.h"

namespace busbar::chip {
namespace {

const Catalogue& catalogue() {
  return builtin_catalogue();
}

std::vector<std::string> devices_of(const HostCards& host) {
  std::vector<std::string> devices;
  for (const CardFacts& card : host.cards) {
    devices.push_back(card.device);
  }
  return devices;
}

/// A machine with these cards, all of whose nodes and libraries exist.
HostCards full_host(std::string_view chip, std::uint32_t count) {
  HostCards host = assumed_host(catalogue(), chip, count);
  host.is_assumed = false;
  host.present_paths = paths_to_look_for(catalogue(), host.cards);
  return host;
}

std::vector<std::string> paths_of(const OciEdits& edits) {
  std::vector<std::string> paths;
  for (const DeviceNode& node : edits.devices) {
    paths.push_back(node.path);
  }
  return paths;
}

bool has(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

using Paths = std::vector<std::string>;

TEST(Injection, EveryModelOfTheCatalogueCanBePreviewed) {
  for (const ChipModel& model : catalogue().models()) {
    SCOPED_TRACE(model.id);
    const HostCards host = assumed_host(catalogue(), model.id, 1);
    const auto edits = edits_for(catalogue(), host, devices_of(host));
    ASSERT_TRUE(edits.has_value()) << edits.error().to_string();
    const Family& family = catalogue().family_of(model);
    if (family.id == "cpu") {
      EXPECT_EQ(edits->cpu_set, std::vector<std::uint32_t>{0});
    } else if (family.inject.has_rule()) {
      EXPECT_FALSE(edits->devices.empty());
      EXPECT_TRUE(has(edits->remarks, model.id + ": nodes and variables by the rule of family " + family.id));
    } else {
      EXPECT_TRUE(edits->devices.empty());
      EXPECT_TRUE(has(edits->remarks, model.id + ": " + std::string(kNoRuleRemark)));
    }
  }
}

TEST(Injection, NvidiaCardsComeWithControlNodesAndUniqueIds) {
  HostCards host = full_host("nvidia-h100-sxm5", 8);
  for (std::size_t i = 0; i < host.cards.size(); ++i) {
    host.cards[i].uuid = "GPU-" + std::to_string(i);
  }
  const OciEdits edits = edits_for(catalogue(), host, {"assumed:2", "assumed:5"}).value();
  EXPECT_EQ(paths_of(edits), (Paths{"/dev/nvidia2", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset", "/dev/nvidia5",
                                    "/dev/nvidiactl", "/dev/nvidia-uvm"}));
  EXPECT_EQ(edits.env.at("CUDA_VISIBLE_DEVICES"), "GPU-2,GPU-5");
  EXPECT_EQ(edits.env.at("NVIDIA_VISIBLE_DEVICES"), "void");
  host.cards[5].uuid.clear();
  EXPECT_EQ(edits_for(catalogue(), host, {"assumed:2", "assumed:5"})->env.at("CUDA_VISIBLE_DEVICES"), "0,1");
}

TEST(Injection, APartitionHasNodesOfItsOwn) {
  HostCards host = full_host("nvidia-a100-sxm4-40gb", 1);
  CardFacts& slice = host.cards[0];
  slice.partition = "1g.5gb";
  slice.uuid = "MIG-7";
  slice.values["gi_cap"] = "12";
  slice.values["ci_cap"] = "13";
  host.present_paths = paths_to_look_for(catalogue(), host.cards);
  const OciEdits edits = edits_for(catalogue(), host, {"assumed:0"}).value();
  EXPECT_TRUE(has(paths_of(edits), "/dev/nvidia-caps/nvidia-cap12"));
  EXPECT_TRUE(has(paths_of(edits), "/dev/nvidia-caps/nvidia-cap13"));
  EXPECT_EQ(edits.env.at("CUDA_VISIBLE_DEVICES"), "MIG-7");
  slice.values.erase("ci_cap");
  const auto unknown = edits_for(catalogue(), host, {"assumed:0"});
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().message.find("ci_cap"), std::string::npos);

  HostCards ascend = full_host("ascend-910b3", 1);
  ascend.cards[0].partition = "vir05_1c_16g";
  ascend.present_paths = paths_to_look_for(catalogue(), ascend.cards);
  const Paths nodes = paths_of(edits_for(catalogue(), ascend, {"assumed:0"}).value());
  EXPECT_TRUE(has(nodes, "/dev/vdavinci0"));
  EXPECT_FALSE(has(nodes, "/dev/davinci0"));
}

TEST(Injection, TheFirstOfSeveralNodesThatTheHostHasIsGivenUnderItsName) {
  HostCards host = full_host("ascend-910b3", 1);
  OciEdits edits = edits_for(catalogue(), host, {"assumed:0"}).value();
  const auto manager = [&edits] {
    return *std::find_if(edits.devices.begin(), edits.devices.end(),
                         [](const DeviceNode& node) { return node.path == "/dev/davinci_manager"; });
  };
  EXPECT_EQ(manager().host_path, "/dev/davinci_manager_docker");
  host.present_paths.erase("/dev/davinci_manager_docker");
  edits = edits_for(catalogue(), host, {"assumed:0"}).value();
  EXPECT_EQ(manager().host_path, "");
  host.present_paths.erase("/dev/davinci_manager");
  const auto none = edits_for(catalogue(), host, {"assumed:0"});
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().code, ErrorCode::kFailedPrecondition);
}

TEST(Injection, AVariableWithAValueThatIsNotKnownIsLeftOut) {
  HostCards host = full_host("habana-gaudi2", 2);
  EXPECT_EQ(edits_for(catalogue(), host, devices_of(host))->env.at("HABANA_VISIBLE_MODULES"), "0,1");
  host.cards[1].values.erase("module");
  const OciEdits edits = edits_for(catalogue(), host, devices_of(host)).value();
  EXPECT_FALSE(edits.env.contains("HABANA_VISIBLE_MODULES"));
  EXPECT_EQ(edits.env.at("HABANA_VISIBLE_DEVICES"), "0,1");
}

TEST(Injection, AModelMayHaveADeviceNodeOfItsOwn) {
  const HostCards host = full_host("tpu-v5e", 2);
  EXPECT_TRUE(has(paths_of(edits_for(catalogue(), host, {"assumed:1"}).value()), "/dev/vfio/1"));
  const HostCards older = full_host("tpu-v4", 1);
  EXPECT_TRUE(has(paths_of(edits_for(catalogue(), older, {"assumed:0"}).value()), "/dev/accel0"));
}

TEST(Injection, WithoutARuleACardGetsItsOwnNodesOrNothing) {
  HostCards host{.cards = {{.device = "pci:0000:3b:00.0", .chip = "pci-abcd-0001", .device_nodes = {"/dev/abacus0"}}}};
  const OciEdits edits = edits_for(catalogue(), host, {"pci:0000:3b:00.0"}).value();
  EXPECT_EQ(paths_of(edits), Paths{"/dev/abacus0"});
  EXPECT_TRUE(has(edits.remarks, "pci-abcd-0001: " + std::string(kNoRuleRemark)));
  host.cards[0].device_nodes.clear();
  const auto nothing = edits_for(catalogue(), host, {"pci:0000:3b:00.0"});
  ASSERT_FALSE(nothing.has_value());
  EXPECT_EQ(nothing.error().code, ErrorCode::kUnsupported);
}

TEST(Injection, CpuCardsBecomeASortedCpuSetWithoutDuplicates) {
  HostCards host;
  for (const char* device : {"cpu:5", "cpu:2"}) {
    host.cards.push_back({.device = device, .chip = "cpu"});
  }
  EXPECT_EQ(edits_for(catalogue(), host, {"cpu:5", "cpu:2", "cpu:5"})->cpu_set, (std::vector<std::uint32_t>{2, 5}));
  EXPECT_EQ(edits_for(catalogue(), host, {}).value(), OciEdits{});
  for (const char* device : {"cpu:", "cpu:-1", "cpu:x", "cpu:99999999"}) {
    SCOPED_TRACE(device);
    EXPECT_FALSE(edits_for(catalogue(), {.cards = {{.device = device, .chip = "cpu"}}}, {device}).has_value());
  }
  EXPECT_EQ(edits_for(catalogue(), host, {"cpu:9"}).error().code, ErrorCode::kNotFound);
}

TEST(Injection, AShareOfACardSaysHowItIsKeptApart) {
  HostCards host = full_host("nvidia-t4", 1);
  EXPECT_TRUE(
      has(edits_for(catalogue(), host, {"assumed:0"}, {500})->remarks, "assumed:0: 0.5 of a card, isolation none"));
  host.cards[0].isolation = "mps";
  EXPECT_TRUE(
      has(edits_for(catalogue(), host, {"assumed:0"}, {250})->remarks, "assumed:0: 0.25 of a card, isolation mps"));
}

TEST(Injection, ACdiSpecWinsOverTheRule) {
  HostCards host = full_host("nvidia-t4", 2);
  host.cdi.push_back({.file = "x.json",
                      .kind = "nvidia.com/gpu",
                      .common = {.devices = {{.path = "/dev/nvidiactl"}}, .env = {{"FROM", "cdi"}}},
                      .devices = {{.name = "1", .edits = {.devices = {{.path = "/dev/nvidia1"}}}}}});
  host.cards[1].cdi_devices = {"nvidia.com/gpu=1"};
  const OciEdits edits = edits_for(catalogue(), host, {"assumed:1"}).value();
  EXPECT_EQ(paths_of(edits), (Paths{"/dev/nvidiactl", "/dev/nvidia1"}));
  EXPECT_EQ(edits.env, (std::map<std::string, std::string>{{"FROM", "cdi"}}));
}

TEST(Injection, ASpecThatShowsMoreThanWasGrantedIsRefused) {
  for (const OciEdits& wrong : {OciEdits{.devices = {{.path = "/dev/nvidia0"}}},
                                OciEdits{.devices = {{.path = "/dev/x", .host_path = "/dev/nvidia0"}}},
                                OciEdits{.mounts = {{.host_path = "/dev", .container_path = "/dev"}}},
                                OciEdits{.mounts = {{.host_path = "/", .container_path = "/host"}}}}) {
    HostCards host = full_host("nvidia-t4", 2);
    host.cdi.push_back({.kind = "nvidia.com/gpu", .devices = {{.name = "all", .edits = wrong}}});
    host.cards[1].cdi_devices = {"nvidia.com/gpu=all"};
    const auto edits = edits_for(catalogue(), host, {"assumed:1"});
    ASSERT_FALSE(edits.has_value());
    EXPECT_NE(edits.error().message.find("not granted"), std::string::npos) << edits.error().message;
  }
}

TEST(Injection, NeverShowsMoreCardsThanGrantedOfAnyFamily) {
  rc::check("granted cards' nodes are there, others' are not", [] {
    const auto& models = catalogue().models();
    const ChipModel& model = models[*rc::gen::inRange<std::size_t>(0, models.size())];
    const auto count = *rc::gen::inRange<std::uint32_t>(1, 17);
    const std::uint32_t first = *rc::gen::inRange<std::uint32_t>(0, 90);
    HostCards host = full_host(model.id, count);
    for (CardFacts& card : host.cards) {
      // Numbers need not begin at 0, and /dev/nvidia1 is no part of /dev/nvidia11.
      for (auto& [name, value] : card.values) {
        value = std::to_string(std::stoul(value) + first);
      }
    }
    host.present_paths = paths_to_look_for(catalogue(), host.cards);
    const bool has_rule = catalogue().family_of(model).inject.has_rule();
    for (std::size_t i = 0; !has_rule && i < host.cards.size(); ++i) {
      host.cards[i].device_nodes = {"/dev/unknown" + std::to_string(i)};
    }
    std::vector<std::string> granted;
    for (const CardFacts& card : host.cards) {
      if (*rc::gen::arbitrary<bool>()) {
        granted.push_back(card.device);
      }
    }
    const auto edits = edits_for(catalogue(), host, granted);
    RC_ASSERT(edits.has_value());
    const Paths shown = paths_of(*edits);
    std::size_t visible = edits->cpu_set.size();
    for (const CardFacts& card : host.cards) {
      const bool is_granted = has(granted, card.device);
      HostCards alone{.cards = {card}, .present_paths = host.present_paths};
      const auto own = edits_for(catalogue(), alone, {card.device});
      RC_ASSERT(own.has_value());
      std::size_t own_nodes = 0;
      for (const DeviceNode& node : own->devices) {
        const auto& control = catalogue().family_of(model).inject;
        const bool is_shared =
            std::any_of(host.cards.begin(), host.cards.end(),
                        [&](const CardFacts& other) {
                          const auto others = edits_for(
                              catalogue(), {.cards = {other}, .present_paths = host.present_paths}, {other.device});
                          return other.device != card.device && has(paths_of(*others), node.path);
                        }) ||
            has(control.control, node.path) || has(control.optional, node.path) || node.path == "/dev/davinci_manager";
        if (!is_shared) {
          own_nodes += has(shown, node.path) ? 1 : 0;
          RC_ASSERT(has(shown, node.path) == is_granted);
        }
      }
      visible += own_nodes > 0 ? 1 : 0;
    }
    RC_ASSERT(visible == granted.size());
  });
}

TEST(Injection, WritesACdiSpecForAFamilyThatHasNone) {
  HostCards host = full_host("mthreads-s4000", 2);
  host.cards[1].uuid = "MT-9";
  const Family& family = *catalogue().find_family("mthreads");
  const CdiSpec spec = make_cdi_spec(catalogue(), host, family).value();
  EXPECT_EQ(spec.kind, "mthreads.com/gpu");
  ASSERT_EQ(spec.devices.size(), 3u);
  EXPECT_EQ(spec.devices[2].name, "MT-9");
  EXPECT_EQ(paths_of(spec.devices[0].edits), (Paths{"/dev/mtgpu.0", "/dev/dri/renderD128"}));
  EXPECT_TRUE(parse_cdi_spec("out.json", to_cdi_json(spec).dump()).has_value());
  EXPECT_EQ(make_cdi_spec(catalogue(), host, *catalogue().find_family("vastai")).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(make_cdi_spec(catalogue(), host, *catalogue().find_family("nvidia")).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace busbar::chip

#include "chip/cdi.h"

#include <gtest/gtest.h>

namespace busbar::chip {
namespace {

constexpr const char* kNvidia = R"({
  "cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "annotations": {"a": "b"},
  "devices": [
    {"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0", "type": "c", "major": 195, "permissions": "rwm"}]}},
    {"name": "GPU-1f2e", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia1", "hostPath": "/dev/nvidia1"}]}}
  ],
  "containerEdits": {
    "env": ["NVIDIA_VISIBLE_DEVICES=void"],
    "deviceNodes": [{"path": "/dev/nvidiactl"}],
    "hooks": [{"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook", "args": ["nvidia-cdi-hook", "chmod"]}],
    "mounts": [{"hostPath": "/usr/bin/nvidia-smi", "containerPath": "/usr/bin/nvidia-smi", "options": ["ro", "nosuid"]}]
  }})";

TEST(Cdi, ReadsWhatAVendorWrites) {
  const CdiSpec spec = parse_cdi_spec("/etc/cdi/nvidia.json", kNvidia).value();
  EXPECT_EQ(spec.kind, "nvidia.com/gpu");
  ASSERT_EQ(spec.devices.size(), 2u);
  EXPECT_EQ(spec.devices[0].edits.devices[0], (DeviceNode{.path = "/dev/nvidia0", .permissions = "rw"}));
  EXPECT_EQ(spec.common.env.at("NVIDIA_VISIBLE_DEVICES"), "void");
  EXPECT_EQ(spec.common.hooks[0].args[1], "chmod");
  EXPECT_EQ(spec.common.mounts[0].options, (std::vector<std::string>{"ro", "nosuid"}));
}

TEST(Cdi, ReadsYamlToo) {
  const auto spec = parse_cdi_spec("/etc/cdi/biren.yaml",
                                   "cdiVersion: 0.5.0\nkind: birentech.com/gpu\ndevices:\n- name: 0\n"
                                   "  containerEdits:\n    deviceNodes:\n    - {path: /dev/biren/card_0, type: c}\n");
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_EQ(spec->devices[0].name, "0");
  EXPECT_EQ(spec->devices[0].edits.devices[0].path, "/dev/biren/card_0");
}

TEST(Cdi, WritesVersion050ThatIsReadBackTheSame) {
  CdiSpec spec = parse_cdi_spec("a.json", kNvidia).value();
  const Json json = to_cdi_json(spec);
  EXPECT_EQ(json["cdiVersion"].as_string(), "0.5.0");
  EXPECT_EQ(parse_cdi_spec("a.json", json.dump()).value(), spec);
}

TEST(Cdi, TheCommonPartComesOnceForSeveralDevices) {
  const std::vector<CdiSpec> specs = {parse_cdi_spec("a.json", kNvidia).value()};
  const OciEdits edits = cdi_edits(specs, {"nvidia.com/gpu=0", "nvidia.com/gpu=GPU-1f2e"}).value();
  EXPECT_EQ(edits.devices.size(), 3u);
  EXPECT_EQ(edits.hooks.size(), 1u);
  const auto missing = cdi_edits(specs, {"nvidia.com/gpu=7"});
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(cdi_edits(specs, {"nvidia.com/gpu"}).has_value());
}

TEST(Cdi, AnUnsafeOrBrokenSpecIsRefusedWithItsFile) {
  const std::string head = R"({"cdiVersion":"0.5.0","kind":"a.com/b","devices":[{"name":"0","containerEdits":)";
  for (const std::string& text : {
           std::string("{"),
           std::string("[]"),
           std::string(R"({"cdiVersion":"2.0.0","kind":"a.com/b"})"),
           std::string(R"({"cdiVersion":"0.5.0","kind":"nothing"})"),
           std::string(R"({"cdiVersion":"0.5.0","kind":"a.com/b","devices":[{"name":"../0"}]})"),
           head + R"({"deviceNodes":[{"path":"dev/x"}]}}]})",
           head + R"({"deviceNodes":[{"path":"/dev/../etc/shadow"}]}}]})",
           head + R"({"deviceNodes":[{"path":"/dev/x","type":"d"}]}}]})",
           head + R"({"mounts":[{"hostPath":"/etc/..","containerPath":"/x"}]}}]})",
           head + R"({"hooks":[{"hookName":"onMonday","path":"/bin/x"}]}}]})",
           head + R"({"hooks":[{"hookName":"prestart","path":"x"}]}}]})",
           head + R"({"env":["NOVALUE"]}}]})",
           head + R"([]}]})",
       }) {
    SCOPED_TRACE(text);
    const auto spec = parse_cdi_spec("/etc/cdi/x.json", text);
    ASSERT_FALSE(spec.has_value());
    EXPECT_NE(spec.error().to_string().find("/etc/cdi/x.json"), std::string::npos) << spec.error().to_string();
  }
}

}  // namespace
}  // namespace busbar::chip

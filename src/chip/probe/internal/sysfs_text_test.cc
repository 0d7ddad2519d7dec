#include "chip/probe/internal/sysfs_text.h"

#include <gtest/gtest.h>

namespace busbar::chip::probe {
namespace {

TEST(SysfsText, IdsAreHexadecimalWithTheirWidth) {
  EXPECT_EQ(parse_hex_id("0x10de\n", 16), 0x10deU);
  EXPECT_EQ(parse_hex_id("0x030200", 24), 0x030200U);
  for (const std::string_view text : {"", "10de", "0x", "0x10dg", "0x10de0", "-0x1", "0x 1", "0x1ffffffff"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(parse_hex_id(text, 16).has_value());
  }
}

TEST(SysfsText, AModaliasHasAllIds) {
  EXPECT_EQ(parse_pci_modalias("pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00\n"),
            (PciModalias{.vendor = 0x10de,
                         .device = 0x2330,
                         .subsystem_vendor = 0x10de,
                         .subsystem_device = 0x16c1,
                         .class_code = 0x030200}));
  for (const std::string_view text :
       {"", "pci:", "pci:v000010DE", "usb:v1D6Bp0002", "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00x",
        "pci:v100010DEd00002330sv000010DEsd000016C1bc03sc02i00",
        "pci:v-00010DEd00002330sv000010DEsd000016C1bc03sc02i00"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(parse_pci_modalias(text).has_value());
  }
}

TEST(SysfsText, PciAddressesHaveFourPartsInLowerCase) {
  EXPECT_TRUE(is_pci_address("0000:3b:00.0"));
  EXPECT_TRUE(is_pci_address("10000:e1:1f.7"));
  for (const std::string_view text : {"", "3b:00.0", "0000:3B:00.0", "0000:3b:00.8", "0000:3b:00.00", "0000:3b:00",
                                      "000:3b:00.0", "123456789:3b:00.0", "0000:3b-00.0", "pci0000:00"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(is_pci_address(text));
  }
}

TEST(SysfsText, LinkSpeedsAreMilliGigatransfers) {
  EXPECT_EQ(parse_link_speed("16.0 GT/s PCIe\n"), 16'000);
  EXPECT_EQ(parse_link_speed("2.5 GT/s"), 2'500);
  EXPECT_EQ(parse_link_speed("Unknown"), 0);
  EXPECT_FALSE(parse_link_speed("fast").has_value());
  EXPECT_FALSE(parse_link_speed("16.0 MT/s").has_value());
  EXPECT_FALSE(parse_link_speed("-1 GT/s").has_value());
}

TEST(SysfsText, CpuListsAreRangesAndNumbers) {
  EXPECT_EQ(parse_cpu_list("0-2,5\n"), (std::vector<std::uint32_t>{0, 1, 2, 5}));
  EXPECT_TRUE(parse_cpu_list("\n")->empty());
  for (const std::string_view text : {"a", "3-1", "0-99999999", "1,,2", "0-8191,0-8191", "-1"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(parse_cpu_list(text).has_value());
  }
}

TEST(SysfsText, AerTotalsStandInTheirOwnLine) {
  EXPECT_EQ(parse_aer_total("Undefined 0\nDLP 7\nTOTAL_ERR_FATAL 3\n"), 3);
  EXPECT_EQ(parse_aer_total("TOTAL_ERR_NONFATAL 0"), 0);
  EXPECT_FALSE(parse_aer_total("DLP 7").has_value());
  EXPECT_FALSE(parse_aer_total("TOTAL_ERR_FATAL").has_value());
  EXPECT_FALSE(parse_aer_total("TOTAL_ERR_FATAL -3").has_value());
}

TEST(SysfsText, DeviceNumbersFitTheirBits) {
  EXPECT_EQ(parse_device_number("195:254\n"), (DeviceNumber{195, 254}));
  EXPECT_FALSE(parse_device_number("4096:0").has_value());
  EXPECT_FALSE(parse_device_number("1:1048576").has_value());
  EXPECT_FALSE(parse_device_number("195").has_value());
  EXPECT_FALSE(parse_device_number(":").has_value());
}

TEST(SysfsText, ColonFieldsAndUeventsTakeTheFirstOfAName) {
  EXPECT_EQ(colon_field("A : 1\nB:\t 2 \nB: 3", "B"), "2");
  EXPECT_EQ(colon_field("A : 1", "B"), "");
  const auto values = parse_uevent("MAJOR=1\nDEVNAME=dri/card0\nnothing\n=x\n");
  EXPECT_EQ(values.size(), 2U);
  EXPECT_EQ(values.at("DEVNAME"), "dri/card0");
}

TEST(SysfsText, CpuinfoOfX86AndArmIsRead) {
  const CpuInfo x86 =
      parse_cpuinfo("processor : 0\nmodel name : EPYC\ncpu MHz : 2600.123\nflags : a b\n\nprocessor : 5\n");
  EXPECT_EQ(x86.processors, (std::vector<std::uint32_t>{0, 5}));
  EXPECT_EQ(x86.mhz, 2600);
  EXPECT_EQ(x86.flags, "a b");
  const CpuInfo arm = parse_cpuinfo("Processor\t: AArch64\nprocessor : 0\nFeatures : fp asimd sve i8mm bf16\n");
  EXPECT_EQ(arm.processors.size(), 1U);
  EXPECT_EQ(arm.flags, "fp asimd sve i8mm bf16");
}

}  // namespace
}  // namespace busbar::chip::probe

#include "os/xz.h"

#include <gtest/gtest.h>

namespace busbar::os {
namespace {

/// "busbar\nbusbar\n", packed by xz; written down so that the test needs no program.
std::string packed() {
  static constexpr unsigned char kBytes[] = {
      0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21, 0x01, 0x16,
      0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x0d, 0x62, 0x75, 0x73, 0x62, 0x61, 0x72, 0x0a,
      0x62, 0x75, 0x73, 0x62, 0x61, 0x72, 0x0a, 0x00, 0x00, 0x00, 0xa8, 0x2e, 0x5d, 0xed, 0x00, 0x01, 0x22,
      0x0e, 0x0c, 0xde, 0x8c, 0x60, 0x90, 0x42, 0x99, 0x0d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x59, 0x5a,
  };
  return {reinterpret_cast<const char*>(kBytes), sizeof(kBytes)};
}

constexpr std::size_t kEnough = 1 << 20;

TEST(Xz, UnpacksWhatXzPacked) {
  EXPECT_TRUE(is_xz(packed()));
  EXPECT_FALSE(is_xz("busbar\n"));
  EXPECT_EQ(unpack_xz(packed(), kEnough).value(), "busbar\nbusbar\n");
  EXPECT_EQ(unpack_xz(packed() + packed(), kEnough).value().size(), 28U) << "files may be joined";
}

TEST(Xz, RefusesBytesThatEndEarlyOrAreDamaged) {
  const auto cut = unpack_xz(packed().substr(0, 40), kEnough);
  ASSERT_FALSE(cut.has_value());
  EXPECT_EQ(cut.error().code, ErrorCode::kDataCorrupt);
  std::string damaged = packed();
  damaged[30] = static_cast<char>(damaged[30] ^ 0x55);
  EXPECT_FALSE(unpack_xz(damaged, kEnough).has_value());
  EXPECT_FALSE(unpack_xz("busbar\n", kEnough).has_value());
}

TEST(Xz, RefusesMoreThanTheCallerTakes) {
  const auto text = unpack_xz(packed(), 10);
  ASSERT_FALSE(text.has_value());
  EXPECT_EQ(text.error().code, ErrorCode::kResourceExhausted);
}

}  // namespace
}  // namespace busbar::os

#include "route/keyed_hash.h"

#include <gtest/gtest.h>

#include <string>

namespace busbar::route {
namespace {

// Key 00 01 ... 0f, texts 00 01 ... of each length: from the reference's own vectors (vectors_sip128).
TEST(KeyedHash, GivesTheReferencesVectors) {
  const HashKey key{.low = 0x0706050403020100U, .high = 0x0f0e0d0c0b0a0908U};
  EXPECT_EQ(keyed_hash(key, ""), (Hash128{.low = 0xe6a825ba047f81a3U, .high = 0x930255c71472f66dU}));
  EXPECT_EQ(keyed_hash(key, std::string(1, '\0')), (Hash128{.low = 0x44af996bd8c187daU, .high = 0x45fc229b11597634U}));
}

TEST(KeyedHash, DependsOnKeyTextAndLength) {
  const HashKey key{.low = 1, .high = 2};
  const std::string text(47, 'a');
  EXPECT_NE(keyed_hash(key, text), keyed_hash({.low = 1, .high = 3}, text));
  EXPECT_NE(keyed_hash(key, text), keyed_hash(key, text + '\0'));
  EXPECT_NE(keyed_hash(key, text), keyed_hash(key, std::string(46, 'a') + 'b'));
}

}  // namespace
}  // namespace busbar::route

#include "route/prefix.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace busbar::route {
namespace {

std::vector<std::uint64_t> hashes(std::string_view text, std::uint64_t salt = 1) {
  std::vector<std::uint64_t> blocks = {9, 9, 9};
  hash_prefix(text, salt, blocks);
  return blocks;
}

TEST(Prefix, IsAChainOverWholeBlocks) {
  const std::string text(5 * kPrefixBlockBytes + 7, 'a');
  const auto all = hashes(text);
  ASSERT_EQ(all.size(), 5U);
  EXPECT_EQ(std::set<std::uint64_t>(all.begin(), all.end()).size(), 5U);
  std::string longer = text + std::string(kPrefixBlockBytes, 'b');
  const auto more = hashes(longer);
  ASSERT_EQ(more.size(), 6U);
  EXPECT_TRUE(std::equal(all.begin(), all.end(), more.begin()));
  // One byte early on changes every block from there on.
  longer[kPrefixBlockBytes + 3] = 'x';
  const auto other = hashes(longer);
  EXPECT_EQ(other[0], more[0]);
  for (std::size_t block = 1; block < 6; ++block) EXPECT_NE(other[block], more[block]);
  EXPECT_TRUE(hashes(text.substr(0, kPrefixBlockBytes - 1)).empty());
  EXPECT_EQ(hashes(std::string(100 * kPrefixBlockBytes, 'c')).size(), kMaxPrefixBlocks);
}

TEST(Prefix, TenantsShareNothing) {
  const std::string text(kPrefixBlockBytes, 'a');
  EXPECT_NE(hashes(text, 1), hashes(text, 2));
}

TEST(PrefixMap, RemembersTheLastTwoReplicas) {
  PrefixMap map;
  using Pair = std::array<std::uint16_t, 2>;
  const std::uint64_t hash = hashes(std::string(kPrefixBlockBytes, 'a'))[0];
  EXPECT_EQ(map.find(hash), (Pair{0, 0}));
  map.note(hash, 5);
  map.note(hash, 5);
  EXPECT_EQ(map.find(hash), (Pair{5, 0}));
  map.note(hash, 6);
  EXPECT_EQ(map.find(hash), (Pair{6, 5}));
  map.note(hash, 7);
  EXPECT_EQ(map.find(hash), (Pair{7, 6}));
  EXPECT_EQ(map.find(hash + (std::uint64_t{1} << 40)), (Pair{0, 0}));
}

TEST(Prefix, NamesHaveTags) {
  std::set<std::uint16_t> tags;
  for (int number = 0; number < 100; ++number) tags.insert(name_tag("chat-" + std::to_string(number)));
  EXPECT_GE(tags.size(), 99U);
  EXPECT_FALSE(tags.contains(0));
}

}  // namespace
}  // namespace busbar::route

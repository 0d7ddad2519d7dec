#include "route/prefix.h"

#include <algorithm>
#include <cstring>

namespace busbar::route {

// The folded product of wyhash (Wang Yi): the high half of it depends on all bits of both.
std::uint64_t mix(std::uint64_t left, std::uint64_t right) {
  const unsigned __int128 product =
      static_cast<unsigned __int128>(left ^ 0xa0761d6478bd642fU) * (right ^ 0xe7037ed1a0b428dbU);
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

void hash_prefix(std::string_view text, std::uint64_t salt, std::vector<std::uint64_t>& blocks) {
  blocks.clear();
  std::uint64_t hash = salt;
  const std::size_t count = std::min(text.size() / kPrefixBlockBytes, kMaxPrefixBlocks);
  for (std::size_t block = 0; block < count; ++block) {
    const char* at = text.data() + block * kPrefixBlockBytes;
    for (std::size_t word = 0; word < kPrefixBlockBytes / 8; ++word) {
      std::uint64_t bytes = 0;
      std::memcpy(&bytes, at + word * 8, 8);
      hash = mix(hash, bytes);
    }
    blocks.push_back(hash);
  }
}

std::uint16_t name_tag(std::string_view name) {
  std::uint64_t hash = name.size();
  for (const char c : name) hash = mix(hash, static_cast<unsigned char>(c));
  const auto tag = static_cast<std::uint16_t>(hash ^ hash >> 16 ^ hash >> 32 ^ hash >> 48);
  return tag == 0 ? std::uint16_t{1} : tag;
}

}  // namespace busbar::route

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

/// Which replica has the beginning of a prompt in memory: learnt from what was sent where.
namespace busbar::route {

/// Text of a block; about 64 tokens.
inline constexpr std::size_t kPrefixBlockBytes = 256;
inline constexpr std::uint64_t kPrefixBlockTokens = kPrefixBlockBytes / 4;
/// More of a prompt is not looked at.
inline constexpr std::size_t kMaxPrefixBlocks = 64;

/// The chained hashes of a text's whole blocks, into `blocks` (cleared before): equal hashes mean equal beginnings up
/// to and with that block. `salt` tells tenants and models apart, so that nobody can find out by timing what others
/// asked.
void hash_prefix(std::string_view text, std::uint64_t salt, std::vector<std::uint64_t>& blocks);

/// A name as 16 bits that are never 0.
std::uint16_t name_tag(std::string_view name);
/// A good 64-bit mix of two numbers.
std::uint64_t mix(std::uint64_t left, std::uint64_t right);

/// Remembers for each block hash the two replicas that were sent it last. A fixed table: what is old is overwritten,
/// and a wrong entry costs a worse choice, nothing else. Thread-safe without locks.
class PrefixMap {
 public:
  PrefixMap() : sets_(std::make_unique<Set[]>(kSets)) {}

  void note(std::uint64_t hash, std::uint16_t replica) {
    Set& set = sets_[hash % kSets];
    const std::uint64_t entry = tag(hash) | replica;
    const std::uint64_t first = set.ways[0].load(std::memory_order_relaxed);
    if (first == entry) return;
    set.ways[1].store(first, std::memory_order_relaxed);
    set.ways[0].store(entry, std::memory_order_relaxed);
  }
  /// 0: none.
  std::array<std::uint16_t, 2> find(std::uint64_t hash) const {
    const Set& set = sets_[hash % kSets];
    std::array<std::uint16_t, 2> found = {};
    for (std::size_t way = 0; way < 2; ++way) {
      const std::uint64_t entry = set.ways[way].load(std::memory_order_relaxed);
      if ((entry & ~std::uint64_t{0xffff}) == tag(hash)) found[way] = static_cast<std::uint16_t>(entry);
    }
    return found;
  }

 private:
  struct Set {
    std::array<std::atomic<std::uint64_t>, 2> ways = {};
  };
  static constexpr std::size_t kSets = 1 << 14;
  static std::uint64_t tag(std::uint64_t hash) { return hash & ~std::uint64_t{0xffff}; }

  std::unique_ptr<Set[]> sets_;
};

}  // namespace busbar::route

#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

namespace busbar::sched::internal {

/// A counted reference to a T that is copied when a second owner writes (copy on write).
///
/// Not std::shared_ptr: its use_count() gives no acquire order, so a fork that lives on another thread could not be
/// told apart safely from one that has just gone.
template <class T>
class CowPtr {
 public:
  CowPtr() : block_(new Block) {}
  CowPtr(const CowPtr& other) noexcept : block_(other.block_) {
    block_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  CowPtr(CowPtr&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  CowPtr& operator=(CowPtr other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~CowPtr() { drop(); }

  const T& read() const { return block_->value; }
  T& write() {
    if (block_->owners.load(std::memory_order_acquire) != 1) {
      auto* copy = new Block{.owners = {1}, .value = block_->value};
      drop();
      block_ = copy;
    }
    return block_->value;
  }

 private:
  struct Block {
    std::atomic<std::uint32_t> owners{1};
    T value = {};
  };

  void drop() noexcept {
    if (block_ != nullptr && block_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete block_;
    }
  }

  Block* block_;
};

/// A sorted map whose copy costs one reference for every ~48 entries: what makes Core::fork() cheap.
///
/// Two levels: a vector of chunks, each a sorted vector of at most kChunk entries. Iteration is in key order, so
/// nothing depends on hash order. Find O(log n); put and erase O(kChunk + n / kChunk). Pointers and iterators live
/// until the next change of the map.
template <class K, class V>
class CowMap {
 public:
  static constexpr std::size_t kChunk = 64;
  using Entry = std::pair<K, V>;
  using Items = std::vector<Entry>;

  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = Entry;
    using difference_type = std::ptrdiff_t;
    using pointer = const Entry*;
    using reference = const Entry&;

    Iterator() = default;
    Iterator(const CowMap* map, std::size_t chunk, std::size_t item) : map_(map), chunk_(chunk), item_(item) {}
    reference operator*() const { return map_->chunks_[chunk_].items.read()[item_]; }
    pointer operator->() const { return &**this; }
    Iterator& operator++() {
      if (++item_ == map_->chunks_[chunk_].items.read().size()) {
        ++chunk_;
        item_ = 0;
      }
      return *this;
    }
    Iterator operator++(int) {
      Iterator old = *this;
      ++*this;
      return old;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const CowMap* map_ = nullptr;
    std::size_t chunk_ = 0;
    std::size_t item_ = 0;
  };

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Iterator begin() const { return {this, 0, 0}; }
  Iterator end() const { return {this, chunks_.size(), 0}; }

  /// First entry whose key is not less than `key`.
  Iterator lower_bound(const K& key) const {
    if (chunks_.empty()) {
      return end();
    }
    const std::size_t chunk = chunk_of(key);
    const Items& items = chunks_[chunk].items.read();
    const std::size_t item = place_of(items, key);
    return item == items.size() ? Iterator{this, chunk + 1, 0} : Iterator{this, chunk, item};
  }

  const V* find(const K& key) const {
    const Iterator at = lower_bound(key);
    return at == end() || key < at->first ? nullptr : &at->second;
  }
  bool contains(const K& key) const { return find(key) != nullptr; }

  /// The value for changing it in place, nullptr if there is none.
  V* find_for_write(const K& key) {
    if (chunks_.empty()) {
      return nullptr;
    }
    Chunk& chunk = chunks_[chunk_of(key)];
    const std::size_t item = place_of(chunk.items.read(), key);
    if (item == chunk.items.read().size() || key < chunk.items.read()[item].first) {
      return nullptr;
    }
    return &chunk.items.write()[item].second;
  }

  /// Inserts or replaces.
  V& put(const K& key, V value) {
    if (chunks_.empty()) {
      chunks_.push_back(Chunk{.first = key});
    }
    const std::size_t at = chunk_of(key);
    Items& items = chunks_[at].items.write();
    const std::size_t item = place_of(items, key);
    if (item < items.size() && !(key < items[item].first)) {
      items[item].second = std::move(value);
      return items[item].second;
    }
    items.insert(items.begin() + static_cast<std::ptrdiff_t>(item), Entry{key, std::move(value)});
    chunks_[at].first = items.front().first;
    ++size_;
    if (items.size() > kChunk) {
      split(at);
      return *find_for_write(key);
    }
    return items[item].second;
  }

  bool erase(const K& key) {
    if (!contains(key)) {
      return false;
    }
    const std::size_t at = chunk_of(key);
    Items& items = chunks_[at].items.write();
    items.erase(items.begin() + static_cast<std::ptrdiff_t>(place_of(items, key)));
    --size_;
    if (items.empty()) {
      chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
      chunks_[at].first = items.front().first;
    }
    return true;
  }

  /// How many keys are less than `key`.
  std::size_t rank(const K& key) const {
    std::size_t count = 0;
    for (const Chunk& chunk : chunks_) {
      const Items& items = chunk.items.read();
      if (!(items.back().first < key)) {
        return count + place_of(items, key);
      }
      count += items.size();
    }
    return count;
  }

 private:
  struct Chunk {
    K first = {};
    CowPtr<Items> items = {};
  };

  /// The last chunk that starts at or before `key`, else the first one.
  std::size_t chunk_of(const K& key) const {
    const auto after = std::upper_bound(chunks_.begin(), chunks_.end(), key,
                                        [](const K& k, const Chunk& chunk) { return k < chunk.first; });
    return after == chunks_.begin() ? 0 : static_cast<std::size_t>(after - chunks_.begin()) - 1;
  }

  static std::size_t place_of(const Items& items, const K& key) {
    const auto at = std::lower_bound(items.begin(), items.end(), key,
                                     [](const Entry& entry, const K& k) { return entry.first < k; });
    return static_cast<std::size_t>(at - items.begin());
  }

  // Keys mostly arrive in rising order (ids, times), so the left part stays three quarters full.
  void split(std::size_t at) {
    Items& left = chunks_[at].items.write();
    const auto middle = left.begin() + static_cast<std::ptrdiff_t>(kChunk * 3 / 4);
    Chunk right = {.first = middle->first};
    Items& moved = right.items.write();
    moved.assign(std::make_move_iterator(middle), std::make_move_iterator(left.end()));
    left.erase(middle, left.end());
    chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(at) + 1, std::move(right));
  }

  std::vector<Chunk> chunks_;
  std::size_t size_ = 0;
};

struct Nothing {};
template <class K>
using CowSet = CowMap<K, Nothing>;

}  // namespace busbar::sched::internal

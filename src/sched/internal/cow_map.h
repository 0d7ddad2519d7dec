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
/// Two levels: a vector of chunks, each of at most kChunk entries in order: their keys side by side, so that a search
/// touches few cache lines however large the values, and the values beside them. Iteration is in key order, so nothing
/// depends on hash order. Find O(log n); put and erase O(kChunk + n / kChunk). Pointers and iterators live until the
/// next change of the map, and so does what an iterator points to: a pair of references.
template <class K, class V>
class CowMap {
 public:
  static constexpr std::size_t kChunk = 64;
  using Entry = std::pair<const K&, const V&>;
  struct Items {
    std::vector<K> keys = {};
    std::vector<V> values = {};
    std::size_t size() const { return keys.size(); }
  };

  class Iterator {
   public:
    struct Arrow {
      Entry entry;
      const Entry* operator->() const { return &entry; }
    };
    using iterator_category = std::input_iterator_tag;  // What it gives is no reference.
    using value_type = Entry;
    using difference_type = std::ptrdiff_t;
    using pointer = Arrow;
    using reference = Entry;

    Iterator() = default;
    Iterator(const CowMap* map, std::size_t chunk, std::size_t item) : map_(map), chunk_(chunk), item_(item) {}
    reference operator*() const {
      const Items& items = map_->chunks_[chunk_].items.read();
      return {items.keys[item_], items.values[item_]};
    }
    pointer operator->() const { return {**this}; }
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
    if (chunks_.empty()) {
      return nullptr;
    }
    const Items& items = chunks_[chunk_of(key)].items.read();
    const std::size_t item = place_of(items, key);
    return item == items.size() || key < items.keys[item] ? nullptr : &items.values[item];
  }
  bool contains(const K& key) const { return find(key) != nullptr; }

  /// The value for changing it in place, nullptr if there is none.
  V* find_for_write(const K& key) {
    if (chunks_.empty()) {
      return nullptr;
    }
    Chunk& chunk = chunks_[chunk_of(key)];
    const std::size_t item = place_of(chunk.items.read(), key);
    if (item == chunk.items.read().size() || key < chunk.items.read().keys[item]) {
      return nullptr;
    }
    return &chunk.items.write().values[item];
  }

  /// Inserts or replaces.
  V& put(const K& key, V value) {
    if (chunks_.empty()) {
      chunks_.push_back(Chunk{.first = key});
    }
    const std::size_t at = chunk_of(key);
    Items& items = chunks_[at].items.write();
    const std::size_t item = place_of(items, key);
    if (item < items.size() && !(key < items.keys[item])) {
      items.values[item] = std::move(value);
      return items.values[item];
    }
    items.keys.insert(items.keys.begin() + static_cast<std::ptrdiff_t>(item), key);
    items.values.insert(items.values.begin() + static_cast<std::ptrdiff_t>(item), std::move(value));
    chunks_[at].first = items.keys.front();
    ++size_;
    if (items.size() > kChunk) {
      split(at);
      return *find_for_write(key);
    }
    return items.values[item];
  }

  bool erase(const K& key) {
    if (!contains(key)) {
      return false;
    }
    const std::size_t at = chunk_of(key);
    Items& items = chunks_[at].items.write();
    const auto item = static_cast<std::ptrdiff_t>(place_of(items, key));
    items.keys.erase(items.keys.begin() + item);
    items.values.erase(items.values.begin() + item);
    --size_;
    if (items.size() == 0) {
      chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
      chunks_[at].first = items.keys.front();
    }
    return true;
  }

  /// How many keys are less than `key`.
  std::size_t rank(const K& key) const {
    std::size_t count = 0;
    for (const Chunk& chunk : chunks_) {
      const Items& items = chunk.items.read();
      if (!(items.keys.back() < key)) {
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
    return static_cast<std::size_t>(std::lower_bound(items.keys.begin(), items.keys.end(), key) - items.keys.begin());
  }

  // Keys mostly arrive in rising order (ids, times), so the left part stays three quarters full.
  void split(std::size_t at) {
    Items& left = chunks_[at].items.write();
    constexpr auto kMiddle = static_cast<std::ptrdiff_t>(kChunk * 3 / 4);
    Chunk right = {.first = left.keys[kMiddle]};
    Items& moved = right.items.write();
    move_tail(left.keys, moved.keys, kMiddle);
    move_tail(left.values, moved.values, kMiddle);
    chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(at) + 1, std::move(right));
  }

  template <class T>
  static void move_tail(std::vector<T>& from, std::vector<T>& to, std::ptrdiff_t middle) {
    to.assign(std::make_move_iterator(from.begin() + middle), std::make_move_iterator(from.end()));
    from.erase(from.begin() + middle, from.end());
  }

  std::vector<Chunk> chunks_;
  std::size_t size_ = 0;
};

struct Nothing {};
template <class K>
using CowSet = CowMap<K, Nothing>;

}  // namespace busbar::sched::internal

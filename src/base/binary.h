#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace busbar {

/// Appends little-endian fields to a byte string: the one encoding of journal records and snapshots, and what state
/// hashes are made of, several of them in each decision: so short ones stay within the writer, and fields are inlined.
class BinaryWriter {
 public:
  BinaryWriter() = default;
  BinaryWriter(const BinaryWriter&) = delete;  // Of its own buffer.
  BinaryWriter& operator=(const BinaryWriter&) = delete;

  void u8(std::uint8_t value) { *room_for(1) = static_cast<char>(value), ++size_; }
  void u32(std::uint32_t value) { little_endian(value); }
  void u64(std::uint64_t value) { little_endian(value); }
  /// LEB128, at most 10 bytes.
  void varint(std::uint64_t value) {
    char* at = room_for(kMaxVarint);
    for (; value >= 0x80; value >>= 7) {
      *at++ = static_cast<char>((value & 0x7f) | 0x80);
    }
    *at++ = static_cast<char>(value);
    size_ = static_cast<std::size_t>(at - begin_);
  }
  /// Each as by varint().
  void varints(std::span<const std::uint16_t> values) {
    constexpr std::size_t kMost = 3;  // Bytes of one.
    char* at = room_for(kMost * values.size());
    for (std::uint16_t value : values) {
      for (; value >= 0x80; value = static_cast<std::uint16_t>(value >> 7)) {
        *at++ = static_cast<char>((value & 0x7f) | 0x80);
      }
      *at++ = static_cast<char>(value);
    }
    size_ = static_cast<std::size_t>(at - begin_);
  }
  /// Signed varint.
  void zigzag(std::int64_t value) {
    varint((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }
  void boolean(bool value) { u8(value ? 1 : 0); }
  void text(std::string_view value);  ///< varint length, then the bytes.

  /// Until the next change.
  std::string_view bytes() const { return {begin_, size_}; }
  std::string take() const { return std::string(bytes()); }

 private:
  static constexpr std::size_t kMaxVarint = 10;
  static constexpr std::size_t kWithin = 512;

  char* room_for(std::size_t more) {
    if (capacity_ - size_ < more) grow(more);
    return begin_ + size_;
  }
  template <class T>
  void little_endian(T value) {
    char* const at = room_for(sizeof(T));
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      at[i] = static_cast<char>((value >> (8 * i)) & 0xff);
    }
    size_ += sizeof(T);
  }
  void grow(std::size_t more);

  std::array<char, kWithin> within_;  // Not initialised: only what was written is read.
  std::unique_ptr<char[]> beyond_;
  char* begin_ = within_.data();
  std::size_t size_ = 0;
  std::size_t capacity_ = kWithin;
};

/// Reads what BinaryWriter wrote; safe on any bytes. After the first short or malformed field every further read gives
/// zero or empty and `ok()` is false, so callers check once at the end. Borrows the bytes.
class BinaryReader {
 public:
  explicit BinaryReader(std::string_view bytes) : rest_(bytes) {}

  std::uint8_t u8();
  std::uint32_t u32();
  std::uint64_t u64();
  std::uint64_t varint();
  std::int64_t zigzag();
  bool boolean();
  std::string text();
  /// For counts of what follows: a varint that fails unless it is at most the number of bytes left.
  std::size_t count();

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  std::size_t remaining() const { return rest_.size(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace busbar

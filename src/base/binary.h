#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace busbar {

/// Appends little-endian fields to a byte string: the one encoding of journal records and snapshots.
class BinaryWriter {
 public:
  void u8(std::uint8_t value);
  void u32(std::uint32_t value);
  void u64(std::uint64_t value);
  void varint(std::uint64_t value);  ///< LEB128, at most 10 bytes.
  void zigzag(std::int64_t value);   ///< Signed varint.
  void boolean(bool value) { u8(value ? 1 : 0); }
  void text(std::string_view value);  ///< varint length, then the bytes.

  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
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

#include "base/binary.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace busbar {
namespace {

template <class T>
T take_le(std::string_view& rest, bool& ok) {
  if (!ok || rest.size() < sizeof(T)) {
    ok = false;
    rest = {};
    return 0;
  }
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value | (T{static_cast<unsigned char>(rest[i])} << (8 * i)));
  }
  rest.remove_prefix(sizeof(T));
  return value;
}

}  // namespace

void BinaryWriter::grow(std::size_t more) {
  const std::size_t capacity = std::max(2 * capacity_, size_ + more);
  auto wider = std::make_unique_for_overwrite<char[]>(capacity);
  std::memcpy(wider.get(), begin_, size_);
  beyond_ = std::move(wider);
  begin_ = beyond_.get();
  capacity_ = capacity;
}

void BinaryWriter::text(std::string_view value) {
  varint(value.size());
  if (!value.empty()) {
    std::memcpy(room_for(value.size()), value.data(), value.size());
    size_ += value.size();
  }
}

std::uint8_t BinaryReader::u8() {
  return take_le<std::uint8_t>(rest_, ok_);
}
std::uint32_t BinaryReader::u32() {
  return take_le<std::uint32_t>(rest_, ok_);
}
std::uint64_t BinaryReader::u64() {
  return take_le<std::uint64_t>(rest_, ok_);
}

std::uint64_t BinaryReader::varint() {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const std::uint8_t byte = u8();
    if (!ok_) {
      return 0;
    }
    // The tenth byte has room for one bit only; and a last byte of zero is a second spelling of the same number.
    if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0)) {
      break;
    }
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if ((byte & 0x80) == 0) {
      return value;
    }
  }
  ok_ = false;
  rest_ = {};
  return 0;
}

std::int64_t BinaryReader::zigzag() {
  const std::uint64_t value = varint();
  return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

bool BinaryReader::boolean() {
  const std::uint8_t value = u8();
  if (value > 1) {
    ok_ = false;
    rest_ = {};
  }
  return value == 1;
}

std::size_t BinaryReader::count() {
  const std::uint64_t value = varint();
  if (value > rest_.size()) {
    ok_ = false;
    rest_ = {};
    return 0;
  }
  return static_cast<std::size_t>(value);
}

std::string BinaryReader::text() {
  const std::size_t size = count();
  std::string value(rest_.substr(0, size));
  rest_.remove_prefix(size);
  return value;
}

}  // namespace busbar

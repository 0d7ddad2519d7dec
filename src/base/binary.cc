#include "base/binary.h"

namespace busbar {
namespace {

template <class T>
void append_le(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
  }
}

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

void BinaryWriter::u8(std::uint8_t value) {
  bytes_.push_back(static_cast<char>(value));
}
void BinaryWriter::u32(std::uint32_t value) {
  append_le(bytes_, value);
}
void BinaryWriter::u64(std::uint64_t value) {
  append_le(bytes_, value);
}

void BinaryWriter::varint(std::uint64_t value) {
  while (value >= 0x80) {
    bytes_.push_back(static_cast<char>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  bytes_.push_back(static_cast<char>(value));
}

void BinaryWriter::zigzag(std::int64_t value) {
  varint((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
}

void BinaryWriter::text(std::string_view value) {
  varint(value.size());
  bytes_.append(value);
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

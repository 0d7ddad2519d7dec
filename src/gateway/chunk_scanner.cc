#include "gateway/chunk_scanner.h"

#include <algorithm>

#include "gateway/trailers.h"

namespace busbar::gateway {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool is_text(char c) {
  return static_cast<unsigned char>(c) >= 0x20 ? c != 0x7f : c == '\t';
}

}  // namespace

ChunkScanner::State ChunkScanner::next(char c) {
  switch (state_) {
    case State::kSize:
      if (const int value = hex_value(c); value >= 0) {
        // 15 digits are enough for any body, and the sum cannot overflow.
        if (++digits_ > 15) return State::kBroken;
        left_ = left_ * 16 + static_cast<std::uint64_t>(value);
        return State::kSize;
      }
      if (digits_ == 0) return State::kBroken;
      line_ = 0;
      if (c == ';') return State::kExtension;
      return c == '\r' ? State::kSizeLineFeed : State::kBroken;
    case State::kExtension:
      if (c == '\r') return State::kSizeLineFeed;
      return is_text(c) && ++line_ < kMaxLineBytes ? State::kExtension : State::kBroken;
    case State::kSizeLineFeed:
      if (c != '\n') return State::kBroken;
      digits_ = 0;
      line_ = 0;
      return left_ == 0 ? State::kTrailerStart : State::kData;
    case State::kDataReturn:
      return c == '\r' ? State::kDataLineFeed : State::kBroken;
    case State::kDataLineFeed:
      return c == '\n' ? State::kSize : State::kBroken;
    case State::kTrailerStart:
      if (c == '\r') return State::kLastLineFeed;
      // No folded line.
      return is_text(c) && c != ' ' && c != '\t' && ++line_ < kMaxTrailerBytes ? State::kTrailer : State::kBroken;
    case State::kTrailer:
      if (c == '\r') return State::kTrailerLineFeed;
      return is_text(c) && ++line_ < kMaxTrailerBytes ? State::kTrailer : State::kBroken;
    case State::kTrailerLineFeed:
      return c == '\n' ? State::kTrailerStart : State::kBroken;
    case State::kLastLineFeed:
      return c == '\n' ? State::kDone : State::kBroken;
    case State::kData:
    case State::kDone:
    case State::kBroken:
      return state_;
  }
  return State::kBroken;
}

ChunkScanner::Piece ChunkScanner::step(std::string_view bytes) {
  const bool is_in_section = is_in_trailers();
  std::size_t at = 0;
  while (at < bytes.size() && state_ != State::kDone && state_ != State::kBroken) {
    if (!is_in_section && state_ == State::kTrailerStart) break;
    if (state_ == State::kData) {
      const std::size_t size = std::min<std::uint64_t>(left_, bytes.size() - at);
      left_ -= size;
      if (left_ == 0) state_ = State::kDataReturn;
      return {.bytes = at + size, .payload = bytes.substr(at, size)};
    }
    state_ = next(bytes[at]);
    ++at;
  }
  return {.bytes = at, .trailers = is_in_section ? bytes.substr(0, at) : std::string_view()};
}

}  // namespace busbar::gateway

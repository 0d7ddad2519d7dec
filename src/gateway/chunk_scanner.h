#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace busbar::gateway {

/// Walks through a chunked body (RFC 9112 §7.1) in pieces of any size, strictly: sizes of 1 to 16 hexadecimal digits,
/// CR LF everywhere, extensions and trailers of visible characters only and of bounded length. A plain value.
class ChunkScanner {
 public:
  struct Piece {
    std::size_t bytes = 0;          ///< How many of the given bytes this step took.
    std::string_view payload = {};  ///< Of them, the content; may be empty.
  };
  static constexpr std::size_t kMaxLineBytes = 256;      ///< Of a size line with its extension.
  static constexpr std::size_t kMaxTrailerBytes = 8192;  ///< Of all trailer fields together.

  /// One step: up to the end of the bytes, of a run of content, or of the body. Call until `bytes` are used up or the
  /// body is done or broken.
  Piece step(std::string_view bytes);

  bool is_done() const { return state_ == State::kDone; }
  bool is_broken() const { return state_ == State::kBroken; }

 private:
  enum class State : std::uint8_t {
    kSize,
    kExtension,
    kSizeLineFeed,
    kData,
    kDataReturn,
    kDataLineFeed,
    kTrailerStart,
    kTrailer,
    kTrailerLineFeed,
    kLastLineFeed,
    kDone,
    kBroken,
  };
  State next(char c);

  State state_ = State::kSize;
  std::uint8_t digits_ = 0;
  std::uint16_t line_ = 0;  ///< Bytes of this size line, or of the trailer section.
  std::uint64_t left_ = 0;  ///< Of this chunk's content.
};

}  // namespace busbar::gateway

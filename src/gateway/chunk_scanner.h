#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace busbar::gateway {

/// Walks through a chunked body (RFC 9112 §7.1) in pieces of any size, strictly: sizes of 1 to 16 hexadecimal digits,
/// CR LF everywhere, extensions and trailers of visible characters only and of bounded length. What trailers say is not
/// looked at: `close_section` does that. A plain value.
class ChunkScanner {
 public:
  struct Piece {
    std::size_t bytes = 0;          ///< How many of the given bytes this step took.
    std::string_view payload = {};  ///< Of them, the content; may be empty.
    /// Of them, the trailer section, down to its empty line; such a piece holds nothing else.
    std::string_view trailers = {};
  };
  static constexpr std::size_t kMaxLineBytes = 256;  ///< Of a size line with its extension.

  /// One step: up to the end of the bytes, of a run of content, of the chunks, or of the body. Call until `bytes` are
  /// used up or the body is done or broken.
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
  bool is_in_trailers() const { return state_ >= State::kTrailerStart && state_ <= State::kLastLineFeed; }

  State state_ = State::kSize;
  std::uint8_t digits_ = 0;
  std::uint16_t line_ = 0;  ///< Bytes of this size line, or of the trailer section.
  std::uint64_t left_ = 0;  ///< Of this chunk's content.
};

}  // namespace busbar::gateway

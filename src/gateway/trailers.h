#pragma once

#include <cstddef>
#include <string>
#include <string_view>

/// Trailer fields, which stand behind a message's content (RFC 9110 §6.5): which of them go on, whatever HTTP either
/// side speaks.
namespace busbar::gateway {

/// Of all fields of one message together, written as lines; as much as of a head.
inline constexpr std::size_t kMaxTrailerBytes = 32 << 10;

/// Of one direction.
struct Trailers {
  std::string lines = {};       ///< "name: value" CR LF, as many as go on; while they come, the section as it came.
  std::string connection = {};  ///< What the message's Connection fields name, with commas: fields that end here.
  void clear() {
    if (!lines.empty() || !connection.empty()) forget();
  }
  void forget();  ///< Keeps little memory.
};

/// Appends a field as a line, its name in small letters. One that frames, routes, authorizes or conditions a message,
/// says how its content is to be read or kept, or is the gateway's to say (§6.5.1) is left out, and so is one that
/// `connection` names. False: beyond kMaxTrailerBytes.
bool append_trailer(std::string& lines, std::string_view name, std::string_view value,
                    std::string_view connection = {});

/// Makes of a whole section, as pieces of a ChunkScanner have it in `trailers.lines`, the lines that go on. False: one
/// that is no field (RFC 9112 §5), or more than a head may have.
bool close_section(Trailers& trailers);

}  // namespace busbar::gateway

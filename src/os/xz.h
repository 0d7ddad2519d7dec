#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace busbar::os {

/// Whether the bytes begin like an .xz file.
bool is_xz(std::string_view bytes);

/// What one or more .xz streams hold. kDataCorrupt where they are damaged or end early, kResourceExhausted beyond
/// `max_bytes`. Thread-safe; blocks for as long as it takes to unpack.
Result<std::string> unpack_xz(std::string_view bytes, std::size_t max_bytes);

}  // namespace busbar::os

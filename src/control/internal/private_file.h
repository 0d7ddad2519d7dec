#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace busbar::control {

/// Who else on the machine may do what to a file that we trust.
enum class Exposure {
  kNobodyReads,   ///< Keys and tokens.
  kNobodyWrites,  ///< Lists that are public but decide who comes in.
};

/// The file's bytes, if it is a regular file (no link) of this user or root and the permissions of group and others
/// stay within `exposure`; else kPermissionDenied with the command that mends it. kNotFound if absent. `what`: "token
/// file".
Result<std::string> read_private_file(const std::string& path, std::string_view what, Exposure exposure);

/// Reads it, or makes it with mode 0600 from `content` if absent. Only under the state directory's lock.
Result<std::string> read_or_make_private_file(const std::string& path, std::string_view what,
                                              const std::function<std::string()>& content);

}  // namespace busbar::control

#pragma once

#include <string>
#include <system_error>

namespace busbar::net {

/// strerror's text, by a call that threads may share.
inline std::string errno_text(int error) {
  return std::generic_category().message(error);
}

}  // namespace busbar::net

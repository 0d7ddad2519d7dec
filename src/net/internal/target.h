#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace busbar::net {

/// A request target taken apart.
struct Target {
  std::string path;
  std::vector<NameValue> query;
};

/// Origin form only ("/path?query"), and "*" for OPTIONS. Refuses what could mean two things to two readers: absolute
/// and authority form, fragments, control bytes, bad escapes, encoded NUL, "." and ".." segments, paths that are not
/// UTF-8.
Result<Target> parse_target(std::string_view method, std::string_view target);

}  // namespace busbar::net

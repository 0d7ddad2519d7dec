#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/text.h"
#include "net/http.h"

namespace busbar::control {

/// A query parameter as a number of at least 0; nullopt when absent or empty, kInvalidArgument for anything else.
inline Result<std::optional<std::int64_t>> query_int(const net::HttpRequest& request, std::string_view name) {
  const auto text = request.query_value(name);
  if (!text || text->empty()) return std::optional<std::int64_t>{};
  const auto number = parse_int(*text);
  if (!number || *number < 0) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("{}=\"{}\" is not a number of at least 0", name, *text));
  }
  return number;
}

}  // namespace busbar::control

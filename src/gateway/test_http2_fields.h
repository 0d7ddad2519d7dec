#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace busbar::gateway::testing {

/// As nghttp2 takes them; `fields` must outlive the result.
inline std::vector<nghttp2_nv> values_of(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::vector<nghttp2_nv> values;
  for (const auto& [name, value] : fields) {
    values.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                      reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                      NGHTTP2_NV_FLAG_NONE});
  }
  return values;
}

/// Not of what is gone at the end of the line.
std::vector<nghttp2_nv> values_of(std::vector<std::pair<std::string, std::string>>&& fields) = delete;

}  // namespace busbar::gateway::testing

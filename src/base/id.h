#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace busbar {

/// A number that names one thing of one kind; ids of different kinds do not mix. 0 is "none".
template <class Tag>
struct Id {
  std::uint64_t value = 0;

  constexpr bool is_valid() const { return value != 0; }
  std::string to_string() const { return std::to_string(value); }
  friend constexpr auto operator<=>(const Id&, const Id&) = default;
};

}  // namespace busbar

template <class Tag>
struct std::hash<busbar::Id<Tag>> {
  std::size_t operator()(const busbar::Id<Tag>& id) const noexcept { return std::hash<std::uint64_t>{}(id.value); }
};

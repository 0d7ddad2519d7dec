#pragma once

#include <string_view>

namespace busbar {

/// Prints the broken invariant with its place and aborts. Never on input: input gets an Error.
[[noreturn]] void check_failed(const char* file, int line, const char* condition, std::string_view detail);

}  // namespace busbar

/// CHECK(condition) or CHECK(condition, "state as text").
#define CHECK(condition, ...)                                                                  \
  do {                                                                                         \
    if (!(condition)) [[unlikely]] {                                                           \
      ::busbar::check_failed(__FILE__, __LINE__, #condition, ::std::string_view{__VA_ARGS__}); \
    }                                                                                          \
  } while (false)

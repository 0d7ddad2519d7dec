#include <cstddef>
#include <cstdint>

#include "base/yaml.h"

/// Any text gives a tree or an error with its place; a crash, a hang or memory that explodes is the finding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed = busbar::parse_yaml({reinterpret_cast<const char*>(data), size});
  return !parsed && parsed.error().message.empty() ? -1 : 0;
}

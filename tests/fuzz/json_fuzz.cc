#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/json.h"

/// What parses is written as text that parses to the same value.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed = busbar::parse_json({reinterpret_cast<const char*>(data), size});
  if (parsed) {
    const auto again = busbar::parse_json(parsed->dump());
    CHECK(again && *again == *parsed, "a value changed on its way through text");
    CHECK(busbar::parse_json(parsed->dump_pretty()) == again, "the indented text means something else");
  }
  return 0;
}

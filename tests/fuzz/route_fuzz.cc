#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "route/inference_body.h"
#include "route/prefix.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

bool is_inside(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

std::optional<std::uint64_t> total_of(std::string_view bytes, std::size_t piece) {
  busbar::route::UsageScanner scanner;
  for (std::size_t at = 0; at < bytes.size(); at += piece) scanner.feed(bytes.substr(at, piece));
  return scanner.total_tokens();
}

}  // namespace

// Calls of models and their answers, as clients and replicas may send them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto body = busbar::route::scan_inference_body(bytes)) {
    require(is_inside(body->model, bytes) && is_inside(body->prompt, bytes));
    require(!body->model.empty() && body->model.find('"') == std::string_view::npos);
    require(body->choices >= 1);
    const auto tokens = busbar::route::estimate_tokens(*body, busbar::route::Completion::kText);
    require(tokens >= busbar::route::estimate_tokens(*body, busbar::route::Completion::kNone));
    std::vector<std::uint64_t> blocks;
    busbar::route::hash_prefix(body->prompt, 1, blocks);
    require(blocks.size() <= busbar::route::kMaxPrefixBlocks);
  }
  // However an answer is cut, the same is found in it.
  const auto whole = total_of(bytes, size == 0 ? 1 : size);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{16}})
    require(total_of(bytes, piece) == whole);
  return 0;
}

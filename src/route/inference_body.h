#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

/// What a gateway has to know of calls of language models (OpenAI's forms), read in one pass without building the JSON.
namespace busbar::route {

/// Views into the body.
struct InferenceBody {
  std::string_view model = {};
  std::string_view prompt = {};  ///< The value of "messages", "prompt" or "input", as it stands there.
  std::uint64_t max_tokens = 0;  ///< Of one answer; 0: not said.
  std::uint64_t choices = 1;     ///< Answers wanted.
};

/// nullopt: not an object, no member "model" that is a plain text, or two of them (two readers could see two models).
/// Reads no more of the JSON than it must, and does not check the rest. Cost: one pass.
std::optional<InferenceBody> scan_inference_body(std::string_view body);

enum class Completion { kNone, kText };
/// Tokens that a call will use: four bytes of its prompt each, and as many as it allows for the answer (512 where it
/// sets no bound).
std::uint64_t estimate_tokens(const InferenceBody& body, Completion completion);

/// Finds "total_tokens" of the member "usage" in an answer that comes in pieces, plain or as an event stream; the last
/// one counts. Text inside of a JSON text cannot look like it, since quotes are escaped there. Cost: one fast search.
class UsageScanner {
 public:
  void feed(std::string_view bytes);
  std::optional<std::uint64_t> total_tokens() const { return total_; }

 private:
  static constexpr std::string_view kName = "\"total_tokens\"";
  std::size_t take_number(std::string_view bytes);

  std::size_t matched_ = 0;  ///< Characters of the name; all of them: its number is awaited.
  bool has_colon_ = false;
  bool has_digits_ = false;
  std::uint64_t number_ = 0;
  std::optional<std::uint64_t> total_ = {};
};

}  // namespace busbar::route

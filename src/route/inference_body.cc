#include "route/inference_body.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace busbar::route {
namespace {

/// A reader that walks over JSON without building it.
class Walker {
 public:
  explicit Walker(std::string_view text) : text_(text) {}

  char peek() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  /// The raw text between quotes, escapes as they are; nullopt if none stands here or it does not end.
  std::optional<std::string_view> string() {
    if (!take('"')) return std::nullopt;
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) return std::nullopt;
    return text_.substr(begin, at_++ - begin);
  }
  /// Over one value of any kind, which is given as it stands; nullopt if it does not end.
  std::optional<std::string_view> value() {
    peek();
    const std::size_t begin = at_;
    if (!skip_value()) return std::nullopt;
    return text_.substr(begin, at_ - begin);
  }

 private:
  bool skip_value() {
    std::size_t depth = 0;
    do {
      const char c = peek();
      if (c == '\0') return false;
      if (c == '"') {
        if (!string()) return false;
      } else if (c == '{' || c == '[') {
        ++depth;
        ++at_;
      } else if (c == '}' || c == ']') {
        if (depth == 0) return false;
        --depth;
        ++at_;
      } else if (c == ',' || c == ':') {
        if (depth == 0) return false;
        ++at_;
      } else {
        at_ = std::min(text_.find_first_of(" \t\r\n,:{}[]\"", at_), text_.size());
      }
    } while (depth > 0);
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// A whole number; others count as none. An answer of more tokens than this does not fit any model.
constexpr std::uint64_t kMostTokens = 100'000'000;
/// Of an answer whose request sets no bound.
constexpr std::uint64_t kDefaultCompletion = 512;

std::uint64_t whole_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::min(number, kMostTokens) : 0;
}

}  // namespace

std::optional<InferenceBody> scan_inference_body(std::string_view body) {
  Walker walker(body);
  InferenceBody found;
  if (!walker.take('{') || walker.take('}')) return std::nullopt;
  do {
    const std::optional<std::string_view> key = walker.string();
    if (!key || !walker.take(':')) return std::nullopt;
    // An escaped key could spell "model" for another reader.
    if (key->find('\\') != std::string_view::npos && key->size() >= 5) return std::nullopt;
    if (*key == "model") {
      const std::optional<std::string_view> value = walker.peek() == '"' ? walker.string() : std::nullopt;
      if (!found.model.empty() || !value || value->empty() || value->find('\\') != std::string_view::npos) {
        return std::nullopt;
      }
      found.model = *value;
      continue;
    }
    const std::optional<std::string_view> value = walker.value();
    if (!value) return std::nullopt;
    if (*key == "messages" || *key == "prompt" || *key == "input") {
      found.prompt = *value;
    } else if (*key == "max_tokens" || *key == "max_completion_tokens" || *key == "max_output_tokens") {
      found.max_tokens = std::max(found.max_tokens, whole_number(*value));
    } else if (*key == "n") {
      found.choices = std::clamp<std::uint64_t>(whole_number(*value), 1, 128);
    }
  } while (walker.take(','));
  if (!walker.take('}') || found.model.empty()) return std::nullopt;
  return found;
}

std::uint64_t estimate_tokens(const InferenceBody& body, Completion completion) {
  const std::uint64_t prompt = (body.prompt.size() + 3) / 4;
  if (completion == Completion::kNone) return prompt;
  const std::uint64_t answer = body.max_tokens > 0 ? body.max_tokens : kDefaultCompletion;
  return prompt + answer * body.choices;
}

void UsageScanner::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (matched_ == kName.size()) {
      bytes.remove_prefix(take_number(bytes));
      continue;
    }
    if (matched_ > 0) {
      // It began in the bytes before.
      while (!bytes.empty() && matched_ < kName.size() && bytes.front() == kName[matched_]) {
        ++matched_;
        bytes.remove_prefix(1);
      }
      if (bytes.empty()) return;
      if (matched_ < kName.size()) matched_ = 0;
      continue;
    }
    const void* found = memmem(bytes.data(), bytes.size(), kName.data(), kName.size());
    if (found != nullptr) {
      bytes.remove_prefix(static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data()) + kName.size());
      matched_ = kName.size();
      continue;
    }
    // Perhaps it begins at their end. The name holds no quote but its first and last, so one look is enough.
    const std::string_view tail = bytes.substr(bytes.size() - std::min(bytes.size(), kName.size() - 1));
    const std::size_t quote = tail.rfind('"');
    if (quote != std::string_view::npos && kName.starts_with(tail.substr(quote))) matched_ = tail.size() - quote;
    return;
  }
}

// What was taken. Ends the number where anything but white space, one colon and digits comes.
std::size_t UsageScanner::take_number(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const char c = bytes[at];
    if (c >= '0' && c <= '9' && has_colon_) {
      number_ = std::min(number_ * 10 + static_cast<std::uint64_t>(c - '0'), kMostTokens);
      has_digits_ = true;
      continue;
    }
    if (c == ':' && !has_colon_) {
      has_colon_ = true;
      continue;
    }
    if ((c == ' ' || c == '\t' || c == '\n' || c == '\r') && !has_digits_) continue;
    if (has_digits_) total_ = number_;
    matched_ = 0;
    number_ = 0;
    has_colon_ = has_digits_ = false;
    return at;
  }
  return bytes.size();
}

}  // namespace busbar::route

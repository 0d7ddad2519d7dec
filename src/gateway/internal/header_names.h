#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string_view>
#include <type_traits>

#include "gateway/http_head.h"

/// Which known field a name is, a word at a time.
namespace busbar::gateway::internal {

struct KnownHeader {
  std::string_view name;
  HeaderId id;
};
// By length; names of the same length stand together.
inline constexpr KnownHeader kKnownHeaders[] = {{"te", HeaderId::kTe},
                                                {"host", HeaderId::kHost},
                                                {"expect", HeaderId::kExpect},
                                                {"trailer", HeaderId::kTrailer},
                                                {"upgrade", HeaderId::kUpgrade},
                                                {"x-api-key", HeaderId::kApiKey},
                                                {"connection", HeaderId::kConnection},
                                                {"keep-alive", HeaderId::kKeepAlive},
                                                {"x-busbar-key", HeaderId::kKeyId},
                                                {"content-type", HeaderId::kContentType},
                                                {"authorization", HeaderId::kAuthorization},
                                                {"content-length", HeaderId::kContentLength},
                                                {"x-busbar-tenant", HeaderId::kTenant},
                                                {"x-forwarded-for", HeaderId::kForwardedFor},
                                                {"proxy-connection", HeaderId::kProxyConnection},
                                                {"transfer-encoding", HeaderId::kTransferEncoding},
                                                {"x-forwarded-proto", HeaderId::kForwardedProto},
                                                {"proxy-authenticate", HeaderId::kProxyAuthenticate},
                                                {"proxy-authorization", HeaderId::kProxyAuthorization}};
inline constexpr std::size_t kLongestKnown = 19;

/// First entry of kKnownHeaders with a name of this length, and the one after the last.
struct LengthRange {
  std::uint8_t first = 0;
  std::uint8_t last = 0;
};
constexpr std::array<LengthRange, kLongestKnown + 1> make_length_ranges() {
  std::array<LengthRange, kLongestKnown + 1> ranges = {};
  for (std::uint8_t index = 0; index < std::size(kKnownHeaders); ++index) {
    LengthRange& range = ranges[kKnownHeaders[index].name.size()];
    if (range.last == 0) range.first = index;
    range.last = static_cast<std::uint8_t>(index + 1);
  }
  return ranges;
}
inline constexpr std::array<LengthRange, kLongestKnown + 1> kLengthRanges = make_length_ranges();

template <class Word>
Word word_at(const char* at) {
  Word word = 0;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

/// Whether a token is this name of lower-case letters and hyphens, ignoring case. A word at a time: no other character
/// of a token becomes one of those by the bit that makes capitals small.
template <class Word>
bool is_name_by(const char* token, const char* known, std::size_t size) {
  constexpr auto kSmall = static_cast<Word>(0x2020202020202020U);
  for (std::size_t at = 0; at + sizeof(Word) <= size; at += sizeof(Word)) {
    if ((word_at<Word>(token + at) | kSmall) != word_at<Word>(known + at)) return false;
  }
  const std::size_t last = size - sizeof(Word);  // The rest, with characters that were looked at already.
  return (word_at<Word>(token + last) | kSmall) == word_at<Word>(known + last);
}

inline bool is_name(std::string_view token, std::string_view known) {
  const std::size_t size = known.size();
  if (token.size() != size) return false;
  if (size >= 8) return is_name_by<std::uint64_t>(token.data(), known.data(), size);
  if (size >= 4) return is_name_by<std::uint32_t>(token.data(), known.data(), size);
  return equals_ignoring_case(token, known);
}

/// A name of four characters or more as three words, capitals made small; some characters are in two of them.
struct NameWords {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t middle = 0;
  bool operator==(const NameWords&) const = default;
};
inline constexpr std::size_t kShortestWords = 4;

template <class Word>
constexpr Word small_word_at(const char* at) {
  if (!std::is_constant_evaluated()) return word_at<Word>(at) | static_cast<Word>(0x2020202020202020U);
  Word word = 0;
  for (std::size_t i = 0; i < sizeof(Word); ++i) {
    const std::size_t byte = std::endian::native == std::endian::little ? i : sizeof(Word) - 1 - i;
    word |= static_cast<Word>(static_cast<Word>(at[i] | 0x20) << (8 * byte));
  }
  return word;
}

constexpr NameWords words_of(std::string_view name) {
  const char* const end = name.data() + name.size();
  if (name.size() < 8) return {small_word_at<std::uint32_t>(name.data()), small_word_at<std::uint32_t>(end - 4), 0};
  const std::uint64_t middle = name.size() > 16 ? small_word_at<std::uint64_t>(name.data() + 8) : 0;
  return {small_word_at<std::uint64_t>(name.data()), small_word_at<std::uint64_t>(end - 8), middle};
}

inline constexpr auto kKnownWords = [] {
  std::array<NameWords, std::size(kKnownHeaders)> words = {};
  for (std::size_t index = 0; index < words.size(); ++index) {
    if (kKnownHeaders[index].name.size() >= kShortestWords) words[index] = words_of(kKnownHeaders[index].name);
  }
  return words;
}();

/// kOther: none that the gateway looks at.
inline HeaderId header_id(std::string_view name) {
  if (name.size() > kLongestKnown) return HeaderId::kOther;
  if (name.size() < kShortestWords) return is_name(name, "te") ? HeaderId::kTe : HeaderId::kOther;
  const LengthRange range = kLengthRanges[name.size()];
  if (range.first == range.last) return HeaderId::kOther;
  const NameWords words = words_of(name);
  for (std::size_t index = range.first; index < range.last; ++index) {
    if (words == kKnownWords[index]) return kKnownHeaders[index].id;
  }
  return HeaderId::kOther;
}

}  // namespace busbar::gateway::internal

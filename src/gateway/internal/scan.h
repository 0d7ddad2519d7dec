#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

/// Searches in heads, sixteen bytes at a time where the processor has SSE2 (every x86-64 has), else one by one. All
/// stay within the bytes they are given.
namespace busbar::gateway::internal {

/// Characters of a token, RFC 9110 §5.6.2.
constexpr std::array<bool, 256> make_token_table() {
  std::array<bool, 256> table = {};
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (const char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}
inline constexpr std::array<bool, 256> kToken = make_token_table();

constexpr bool is_token_character(char c) {
  return kToken[static_cast<unsigned char>(c)];
}

/// Control characters, but not the tab.
constexpr bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

#if defined(__SSE2__)
inline __m128i load_block(const char* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}
inline std::uint32_t mask_of(__m128i bytes) {
  return static_cast<std::uint32_t>(_mm_movemask_epi8(bytes));
}

/// Bit by bit, which of sixteen bytes are control characters other than a tab.
inline std::uint32_t controls_of(__m128i bytes) {
  const __m128i is_low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
  const __m128i is_tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
  const __m128i is_delete = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
  return mask_of(_mm_or_si128(_mm_andnot_si128(is_tab, is_low), is_delete));
}
#endif

/// The first character in [at, end) that is none of a token, or `end`.
inline const char* find_token_end(const char* at, const char* end) {
#if defined(__SSE2__)
  if (end - at >= 16) {
    // Letters and hyphens, which most names are made of; what else there is, the table decides.
    const __m128i bytes = load_block(at);
    const __m128i small = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    // Moves a..z to the least 26 of the signed bytes.
    const __m128i moved = _mm_add_epi8(small, _mm_set1_epi8(static_cast<char>(-128 - 'a')));
    const __m128i is_letter = _mm_cmplt_epi8(moved, _mm_set1_epi8(-128 + 26));
    const __m128i is_hyphen = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-'));
    // Of the upper sixteen bits none is set: there is a first one that is not.
    at += __builtin_ctz(~mask_of(_mm_or_si128(is_letter, is_hyphen)));
  }
#endif
  while (at < end && is_token_character(*at)) ++at;
  return at;
}

/// The first control character other than a tab in [at, end), or `end`. [begin, at) may be read too.
inline const char* find_control([[maybe_unused]] const char* begin, const char* at, const char* end) {
#if defined(__SSE2__)
  for (; end - at >= 16; at += 16) {
    if (const std::uint32_t found = controls_of(load_block(at)); found != 0) return at + std::countr_zero(found);
  }
  if (end - begin >= 16 && at < end) {
    // The rest together with bytes before it, which do not count.
    const std::uint32_t found = controls_of(load_block(end - 16)) >> (16 - (end - at));
    return found == 0 ? end : at + std::countr_zero(found);
  }
#endif
  while (at < end && !is_control(*at)) ++at;
  return at;
}

/// The character after the first CR LF CR LF in `bytes` that ends after `from`; nullptr: there is none.
inline const char* find_head_end(std::string_view bytes, std::size_t from) {
  const char* const begin = bytes.data();
  const char* const end = begin + bytes.size();
  const char* at = begin + from;
  const auto is_end = [begin](const char* after) {
    return after - begin >= 4 && std::memcmp(after - 4, "\r\n\r\n", 4) == 0;
  };
#if defined(__SSE2__)
  // An empty line is two line feeds with one character between them; what stands before a block may begin one too.
  const auto look = [is_end](const char* block) -> const char* {
    const std::uint32_t feeds = mask_of(_mm_cmpeq_epi8(load_block(block), _mm_set1_epi8('\n')));
    for (std::uint32_t found = feeds & ((feeds << 2) | 0b11); found != 0; found &= found - 1) {
      const char* const after = block + std::countr_zero(found) + 1;
      if (is_end(after)) return after;
    }
    return nullptr;
  };
  if (bytes.size() >= 16) {
    for (; end - at >= 16; at += 16) {
      if (const char* const after = look(at)) return after;
    }
    return at < end ? look(end - 16) : nullptr;  // The rest, with characters that were looked at already.
  }
#endif
  for (; at < end; ++at) {
    if (*at == '\n' && is_end(at + 1)) return at + 1;
  }
  return nullptr;
}

}  // namespace busbar::gateway::internal

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace busbar {

std::string_view trim(std::string_view text);
/// "a,b,,c" by ',' -> a, b, "", c.
std::vector<std::string_view> split(std::string_view text, char separator);
std::string join(std::span<const std::string> parts, std::string_view separator);
std::string to_lower(std::string_view text);
bool is_valid_utf8(std::string_view text);
/// Number of leading bytes that are well-formed UTF-8 (no overlong forms, no surrogates).
std::size_t valid_utf8_prefix(std::string_view text);
/// Decimal digits with an optional '-', the whole text; nullopt on overflow or anything else.
std::optional<std::int64_t> parse_int(std::string_view text);
/// Quotes for a POSIX shell: a'b -> 'a'\''b'; safe words stay bare.
std::string shell_quote(std::string_view word);

/// The candidate at the smallest Damerau-Levenshtein distance (optimal string alignment, case-insensitive), if it is
/// near enough to be meant: distance <= max(1, length / 3). Ties: the first candidate.
std::optional<std::string> nearest_name(std::string_view name, std::span<const std::string> candidates);

}  // namespace busbar

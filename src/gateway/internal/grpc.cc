#include "gateway/internal/grpc.h"

#include <fmt/format.h>

#include <charconv>
#include <iterator>

namespace busbar::gateway::internal {
namespace {

constexpr std::size_t kTimeoutDigits = 8;
constexpr std::int64_t kLongestTimeoutUs = 86'400'000'000;

/// Of a unit, in nanoseconds; 0: it is none.
std::int64_t unit_ns(char unit) {
  switch (unit) {
    case 'H':
      return 3'600'000'000'000;
    case 'M':
      return 60'000'000'000;
    case 'S':
      return 1'000'000'000;
    case 'm':
      return 1'000'000;
    case 'u':
      return 1'000;
    case 'n':
      return 1;
    default:
      return 0;
  }
}

}  // namespace

int grpc_status_of(int http_status) {
  switch (http_status) {
    case 401:
      return 16;  // UNAUTHENTICATED
    case 403:
      return 7;  // PERMISSION_DENIED
    case 404:
    case 405:
    case 501:
      return 12;  // UNIMPLEMENTED
    case 408:
    case 504:
      return kGrpcDeadlineExceeded;
    case 413:
    case 429:
    case 431:
      return 8;  // RESOURCE_EXHAUSTED
    case 502:
    case 503:
      return kGrpcUnavailable;
    default:
      return 13;  // INTERNAL
  }
}

void append_grpc_status(std::string& lines, int status, std::string_view message) {
  fmt::format_to(std::back_inserter(lines), "grpc-status: {}\r\ngrpc-message: ", status);
  for (const char c : message) {
    if (c >= ' ' && c <= '~' && c != '%') {
      lines += c;
    } else {
      fmt::format_to(std::back_inserter(lines), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  lines += "\r\n";
}

int parse_grpc_status(std::string_view text) {
  int status = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), status);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  return is_number && status >= 0 && status < 100 ? status : -1;
}

int find_grpc_status(std::string_view lines) {
  constexpr std::string_view kName = "grpc-status: ";
  const bool is_first = lines.starts_with(kName);
  const std::size_t at = is_first ? 0 : lines.find("\r\ngrpc-status: ");
  if (at == std::string_view::npos) return -1;
  const std::string_view rest = lines.substr(at + kName.size() + (is_first ? 0 : 2));
  return parse_grpc_status(rest.substr(0, rest.find("\r\n")));
}

bool is_grpc_failure(int status) {
  return status == 2 || status == 13 || status == kGrpcUnavailable || status == 15;
}

std::int64_t grpc_timeout_us(std::string_view text) {
  if (text.size() < 2 || text.size() > kTimeoutDigits + 1) return 0;
  const std::int64_t unit = unit_ns(text.back());
  std::int64_t number = 0;
  const char* const end = text.data() + text.size() - 1;
  const auto parsed = std::from_chars(text.data(), end, number);
  if (unit == 0 || parsed.ec != std::errc() || parsed.ptr != end || number < 0) return 0;
  // Eight digits of hours fit.
  const std::int64_t us = unit >= 1'000 ? number * (unit / 1'000) : number / 1'000;
  if (us >= kLongestTimeoutUs) return 0;
  return us > 0 ? us : 1;
}

}  // namespace busbar::gateway::internal

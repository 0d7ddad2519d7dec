#include "base/error.h"

#include <array>
#include <utility>

namespace busbar {
namespace {

struct CodeRow {
  ErrorCode code;
  std::string_view name;
  int http_status;
  int exit_code;
};

// In the order of the enum, so that a code is its own index.
constexpr std::array kCodes{
    CodeRow{ErrorCode::kInvalidArgument, "invalid_argument", 400, 2},
    CodeRow{ErrorCode::kUnauthenticated, "unauthenticated", 401, 3},
    CodeRow{ErrorCode::kPermissionDenied, "permission_denied", 403, 4},
    CodeRow{ErrorCode::kNotFound, "not_found", 404, 5},
    CodeRow{ErrorCode::kAlreadyExists, "already_exists", 409, 6},
    CodeRow{ErrorCode::kFailedPrecondition, "failed_precondition", 412, 7},
    CodeRow{ErrorCode::kNoCapacity, "no_capacity", 503, 8},
    CodeRow{ErrorCode::kInfeasible, "infeasible", 422, 9},
    CodeRow{ErrorCode::kResourceExhausted, "resource_exhausted", 429, 10},
    CodeRow{ErrorCode::kCancelled, "cancelled", 499, 11},
    CodeRow{ErrorCode::kDeadlineExceeded, "deadline_exceeded", 504, 12},
    CodeRow{ErrorCode::kUnavailable, "unavailable", 503, 13},
    CodeRow{ErrorCode::kUnsupported, "unsupported", 501, 14},
    CodeRow{ErrorCode::kDataCorrupt, "data_corrupt", 500, 15},
    CodeRow{ErrorCode::kInternal, "internal", 500, 1},
};

constexpr bool is_in_enum_order() {
  for (std::size_t i = 0; i < kCodes.size(); ++i) {
    if (static_cast<std::size_t>(kCodes[i].code) != i) {
      return false;
    }
  }
  return true;
}
static_assert(is_in_enum_order());
static_assert(kCodes.size() == static_cast<std::size_t>(ErrorCode::kInternal) + 1, "a code lacks its row");

const CodeRow& row(ErrorCode code) {
  const auto index = static_cast<std::size_t>(code);
  return index < kCodes.size() ? kCodes[index] : kCodes.back();
}

}  // namespace

std::string Error::to_string() const {
  return cause.empty() ? message : message + ": " + cause;
}

tl::unexpected<Error> with_context(std::string message, const Error& error) {
  return tl::unexpected<Error>(Error{.code = error.code,
                                     .message = std::move(message),
                                     .cause = error.to_string(),
                                     .is_retryable = error.is_retryable});
}

std::string_view error_code_name(ErrorCode code) {
  return row(code).name;
}

ErrorCode error_code_from_name(std::string_view name) {
  for (const CodeRow& candidate : kCodes) {
    if (candidate.name == name) {
      return candidate.code;
    }
  }
  return ErrorCode::kInternal;
}

int http_status(ErrorCode code) {
  return row(code).http_status;
}

int exit_code(ErrorCode code) {
  return row(code).exit_code;
}

}  // namespace busbar

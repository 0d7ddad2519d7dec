#include <string>
#include <utility>

#include "api/internal/tables.h"
#include "api/types.h"

namespace busbar::api {
namespace {

/// For answers that are not ours: a proxy's page, another server on the port.
ErrorCode code_of_status(int http_status_of_answer) {
  switch (http_status_of_answer) {
    case 400:
    case 405:
    case 413:
    case 431:
      return ErrorCode::kInvalidArgument;
    case 401:
      return ErrorCode::kUnauthenticated;
    case 403:
      return ErrorCode::kPermissionDenied;
    case 404:
      return ErrorCode::kNotFound;
    case 408:
    case 504:
      return ErrorCode::kDeadlineExceeded;
    case 409:
      return ErrorCode::kAlreadyExists;
    case 412:
      return ErrorCode::kFailedPrecondition;
    case 422:
      return ErrorCode::kInfeasible;
    case 429:
      return ErrorCode::kResourceExhausted;
    case 499:
      return ErrorCode::kCancelled;
    case 501:
      return ErrorCode::kUnsupported;
    case 502:
    case 503:
      return ErrorCode::kUnavailable;
    default:
      return ErrorCode::kInternal;
  }
}

}  // namespace

Json to_json(const ErrorBody& value) {
  const internal::ErrorAnswer answer{.error = {.code = std::string(error_code_name(value.error.code)),
                                               .message = value.error.message,
                                               .cause = value.error.cause,
                                               .is_retryable = value.error.is_retryable,
                                               .diagnostics = value.diagnostics}};
  return internal::write_object(&answer, internal::table_of<internal::ErrorAnswer>());
}

ErrorBody error_body_from_json(const Json& json, int http_status) {
  internal::ErrorAnswer answer;
  const auto outcome =
      internal::read_object(&answer, internal::table_of<internal::ErrorAnswer>(), json, internal::UnknownKeys::kIgnore);
  if (!outcome || answer.error.code.empty()) {
    return ErrorBody{.error = {.code = code_of_status(http_status),
                               .message = "the server answered with status " + std::to_string(http_status)}};
  }
  return ErrorBody{.error = {.code = error_code_from_name(answer.error.code),
                             .message = answer.error.message,
                             .cause = answer.error.cause,
                             .is_retryable = answer.error.is_retryable},
                   .diagnostics = answer.error.diagnostics};
}

}  // namespace busbar::api

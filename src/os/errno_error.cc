#include "os/errno_error.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace busbar::os {
namespace {

ErrorCode code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ESRCH:
    case ENXIO:
      return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::kPermissionDenied;
    case EEXIST:
    case ENOTEMPTY:
    case EADDRINUSE:
      return ErrorCode::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case E2BIG:
      return ErrorCode::kResourceExhausted;
    case EAGAIN:
    case EINTR:
    case EBUSY:
    case ETXTBSY:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENETUNREACH:
    case EHOSTUNREACH:
      return ErrorCode::kUnavailable;
    case ETIMEDOUT:
      return ErrorCode::kDeadlineExceeded;
    case ECANCELED:
      return ErrorCode::kCancelled;
    case ENOSYS:
    case EOPNOTSUPP:
      return ErrorCode::kUnsupported;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOEXEC:
      return ErrorCode::kInvalidArgument;
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EXDEV:
      return ErrorCode::kFailedPrecondition;
    default:
      return ErrorCode::kInternal;
  }
}

}  // namespace

Error errno_error(std::string message, int error_number) {
  const ErrorCode code = code_of(error_number);
  return Error{.code = code,
               .message = std::move(message),
               .cause = std::generic_category().message(error_number),
               .is_retryable = code == ErrorCode::kUnavailable || code == ErrorCode::kDeadlineExceeded};
}

tl::unexpected<Error> errno_failure(std::string message) {
  const int error_number = errno;
  return tl::unexpected<Error>(errno_error(std::move(message), error_number));
}

}  // namespace busbar::os

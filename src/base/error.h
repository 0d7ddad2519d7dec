#pragma once

#include <string>
#include <string_view>
#include <utility>

// The attribute must stand on the class's first declaration, so before its header: an ignored Result is then an error.
namespace tl {
template <class T, class E>
class [[nodiscard]] expected;
}
#include <tl/expected.hpp>

namespace busbar {

/// What kind of failure this is. One enum for the whole product: it decides the HTTP status (`http_status`) and the
/// exit code of the command line (`exit_code`), so a new enumerator needs a line in both.
enum class ErrorCode {
  kInvalidArgument,     ///< The input is wrong; the same call will fail again.
  kUnauthenticated,     ///< No token, or not one that we know.
  kPermissionDenied,    ///< Known, but not allowed.
  kNotFound,            ///< No such job, node, file ...
  kAlreadyExists,       ///< The name or key is taken by something else.
  kFailedPrecondition,  ///< Right call, wrong state (e.g. exec into a job that has ended).
  kNoCapacity,          ///< Fits the declared cluster, not now.
  kInfeasible,          ///< Does not fit the declared cluster even when it is empty.
  kResourceExhausted,   ///< A limit, a full disk.
  kCancelled,
  kDeadlineExceeded,
  kUnavailable,  ///< The peer is away; trying again may help.
  kUnsupported,  ///< This machine or build lacks what is asked for.
  kDataCorrupt,  ///< Stored bytes are not what we wrote.
  kInternal,     ///< A fault of ours.
};

/// `message`: lower-case, no full stop; what, which, the limit, what to do.
/// `cause`: the message of the failure below, empty if there is none.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string cause = {};
  bool is_retryable = false;

  /// "message: cause".
  std::string to_string() const;

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = tl::expected<T, Error>;

/// `return make_error(ErrorCode::kNotFound, "no job 17");`
inline tl::unexpected<Error> make_error(ErrorCode code, std::string message, std::string cause = {}) {
  return tl::unexpected<Error>(Error{.code = code, .message = std::move(message), .cause = std::move(cause)});
}

/// Puts context in front of an error: the new message, with the old text as its cause. Keeps code and retryability.
tl::unexpected<Error> with_context(std::string message, const Error& error);

/// "invalid_argument"; used in API answers and logs.
std::string_view error_code_name(ErrorCode code);
/// Unknown names give kInternal.
ErrorCode error_code_from_name(std::string_view name);
/// 400, 401, 403, 404, 409, 412, 422, 429, 499, 503, 504, 501, 500.
int http_status(ErrorCode code);
/// Documented in docs/exit-codes.md.
int exit_code(ErrorCode code);

}  // namespace busbar

#define BUSBAR_CONCAT_INNER(a, b) a##b
#define BUSBAR_CONCAT(a, b) BUSBAR_CONCAT_INNER(a, b)

/// TRY(expr): returns the error of a Result<...>; TRY_ASSIGN(auto x, expr): or binds its value. The counter lets a TRY
/// stand inside a lambda that is itself an argument of TRY.
#define TRY_IMPL(name, expr)                                         \
  do {                                                               \
    auto name = (expr);                                              \
    if (!name) {                                                     \
      return tl::unexpected<busbar::Error>(std::move(name.error())); \
    }                                                                \
  } while (false)
#define TRY(expr) TRY_IMPL(BUSBAR_CONCAT(busbar_try_, __COUNTER__), expr)
#define TRY_ASSIGN_IMPL(name, declaration, expr)                   \
  auto name = (expr);                                              \
  if (!name) {                                                     \
    return tl::unexpected<busbar::Error>(std::move(name.error())); \
  }                                                                \
  declaration = *std::move(name)
#define TRY_ASSIGN(declaration, expr) TRY_ASSIGN_IMPL(BUSBAR_CONCAT(busbar_try_, __COUNTER__), declaration, expr)

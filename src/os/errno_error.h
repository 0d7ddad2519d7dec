#pragma once

#include <string>

#include "base/error.h"

namespace busbar::os {

/// The Error of a failed system call: `message` says what was tried on what, the cause is strerror's text. ENOENT gives
/// kNotFound, EACCES and EPERM kPermissionDenied, a full disk or too many descriptors kResourceExhausted, and so on.
Error errno_error(std::string message, int error_number);

/// `return errno_failure("cannot open /x");` right after the call that set errno.
tl::unexpected<Error> errno_failure(std::string message);

}  // namespace busbar::os

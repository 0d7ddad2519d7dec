#include "cli/time_point.h"

#include <ctime>
#include <string>

#include "base/text.h"

namespace busbar::cli {
namespace {

Error no_time(std::string_view text) {
  return {.code = ErrorCode::kInvalidArgument,
          .message = "\"" + std::string(text) + "\" is no time; write now, 2h (from now) or 2031-05-17T08:00"};
}

}  // namespace

Result<TimeMs> parse_time_point(std::string_view text, TimeMs now_ms) {
  const std::string whole(trim(text));
  if (whole == "now") {
    return now_ms;
  }
  if (const auto duration_ms = parse_duration_ms(whole)) {
    return now_ms + *duration_ms;
  }
  for (const char* format : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"}) {
    std::tm parts = {};
    const char* rest = ::strptime(whole.c_str(), format, &parts);
    if (rest == nullptr || (*rest != '\0' && std::string_view(rest) != "Z")) {
      continue;
    }
    parts.tm_isdst = -1;
    const std::time_t seconds = *rest == 'Z' ? ::timegm(&parts) : std::mktime(&parts);
    if (seconds != -1) {
      return TimeMs{seconds} * 1000;
    }
  }
  return tl::unexpected(no_time(text));
}

}  // namespace busbar::cli

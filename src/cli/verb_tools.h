#pragma once

#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/describe.h"
#include "model/job.h"

/// Small things that several verbs share.
namespace busbar::cli {

inline Look look_of(Context& context) {
  return {.width = context.out().width(), .has_colour = context.out().has_colour(), .now_ms = context.now_ms()};
}

/// GET a list and print it by `table`, or as the server's own JSON.
template <class List, class ToText>
Result<int> print_list(Context& context, const std::string& path, ToText to_text) {
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY_ASSIGN(const Json answer, client->get(path));
  if (context.wants_json()) {
    context.print_json(answer);
    return 0;
  }
  TRY_ASSIGN(const auto list, read_answer<List>(answer));
  context.out().write(to_text(list));
  return 0;
}

inline Json texts_json(const std::vector<std::string>& texts) {
  return Json::array({texts.begin(), texts.end()});
}

/// For completion.
inline std::vector<std::string> state_names() {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(model::JobState::kCancelled); ++i) {
    names.emplace_back(model::job_state_name(static_cast<model::JobState>(i)));
  }
  return names;
}

}  // namespace busbar::cli

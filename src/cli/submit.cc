#include "cli/submit.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/text.h"
#include "launch/job_file.h"

namespace busbar::cli {
namespace {

std::string diagnostics_text(const JobSource& source, const std::vector<api::Diagnostic>& diagnostics) {
  std::vector<launch::Diagnostic> found;
  for (const api::Diagnostic& one : diagnostics) {
    found.push_back({.position = {.line = one.line, .column = one.column},
                     .field = one.field,
                     .message = one.message,
                     .hint = one.hint,
                     .is_warning = one.is_warning});
  }
  std::string text = launch::format_diagnostics(source.name, source.text, found);
  if (!text.empty() && !text.ends_with('\n')) {
    text += '\n';
  }
  return text;
}

}  // namespace

Result<api::SubmitAnswer> submit_source(Context& context, const JobSource& source, const SubmitChoices& choices) {
  TRY_ASSIGN(ApiClient * client, context.client());
  const api::SubmitRequest request{.file = source.text,
                                   .file_name = source.name,
                                   .overrides = source.overrides,
                                   .default_workdir = source.folder,
                                   .client_key = choices.client_key,
                                   .is_dry_run = choices.is_dry_run,
                                   .may_wait_infeasible = choices.may_wait_infeasible,
                                   .has_terminal = choices.has_terminal};
  auto sent = client->send({.method = "POST",
                            .target = choices.target,
                            .headers = {{"Content-Type", "application/json"}},
                            .body = api::to_json(request).dump()});
  if (!sent) {
    context.diagnostics = sent.error().diagnostics;
    context.diagnostics_text = diagnostics_text(source, sent.error().diagnostics);
    return tl::unexpected(std::move(sent.error().error));
  }
  TRY_ASSIGN(api::SubmitAnswer answer, read_answer<api::SubmitAnswer>(*sent));
  if (!answer.warnings.empty() && !context.wants_json() && !context.global.is_quiet) {
    context.err().write(diagnostics_text(source, answer.warnings));
  }
  if (answer.jobs.empty() && !answer.service && !choices.is_dry_run) {
    return make_error(ErrorCode::kInternal, "the server accepted " + source.name + " but named no job");
  }
  return answer;
}

std::string describe_dry_run(const Json& dry_run) {
  std::string out = "# effective job\n" + dry_run["job"].dump_pretty() + "\n";
  if (const std::int64_t members = dry_run["members"].as_int(); members > 1) {
    out += fmt::format("# an array of {} members; the first one is shown\n", members);
  }
  if (!dry_run["placement"].is_null()) {
    out += "\n# placement on the cluster as it is when empty\n" + dry_run["placement"].dump_pretty() + "\n";
  }
  if (const std::string& reason = dry_run["no_placement"].as_string(); !reason.empty()) {
    out += fmt::format("\n# no placement on the cluster as declared: {}\n", printable(reason));
  }
  for (const Json& assumed : dry_run["assumed"].items()) {
    const std::string chip = printable(assumed["chip"].as_string());
    const std::int64_t cards = assumed["cards"].as_int();
    if (assumed.find("error") != nullptr) {
      out += fmt::format("\n# {} {}: {}\n", cards, chip, printable(assumed["error"].as_string()));
      continue;
    }
    out += fmt::format("\n# a task on {} {} card{} would be given, the driver's numbers assumed\n", cards, chip,
                       cards == 1 ? "" : "s");
    for (const Json& remark : assumed["edits"]["remarks"].items()) {
      out += printable(remark.as_string()) + "\n";
    }
    out += "OCI edits: " + assumed["edits"].dump_pretty() + "\n";
  }
  for (const Json& task : dry_run["tasks"].items()) {
    out += fmt::format("\n# task {}: {}\n", task["rank"].as_int(), printable(task["hostname"].as_string()));
    for (const Json& word : task["argv"].items()) {
      out += (&word == &task["argv"].items().front() ? "command: " : " ") + printable(shell_quote(word.as_string()));
    }
    out += "\nworkdir: " + printable(task["workdir"].as_string()) + "\nenvironment:\n";
    for (const auto& [name, value] : task["env"].members()) {
      out += fmt::format("  {}={}\n", printable(name), printable(shell_quote(value.as_string())));
    }
    out += "OCI edits: " + task["edits"].dump_pretty() + "\n";
  }
  return out;
}

}  // namespace busbar::cli

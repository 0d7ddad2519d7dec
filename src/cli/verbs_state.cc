#include <fcntl.h>
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "cli/completion.h"
#include "cli/context.h"
#include "cli/describe.h"
#include "cli/verb_tools.h"
#include "launch/job_file.h"
#include "os/errno_error.h"
#include "os/files.h"
#include "sched/journal.h"

namespace busbar::cli {
namespace {

constexpr std::size_t kMaxSecretBytes = 1 << 20;

/// Takes what is typed off the screen for as long as it lives.
class NoEcho {
 public:
  explicit NoEcho(int descriptor) : descriptor_(descriptor) {
    if (::tcgetattr(descriptor_, &saved_) != 0) {
      descriptor_ = -1;
      return;
    }
    termios silent = saved_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(descriptor_, TCSAFLUSH, &silent);
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;
  ~NoEcho() {
    if (descriptor_ >= 0) {
      ::tcsetattr(descriptor_, TCSAFLUSH, &saved_);
    }
  }

 private:
  int descriptor_;
  termios saved_{};
};

/// A secret's value: to the end of input, or one line from a terminal.
Result<std::string> read_secret(Context& context) {
  const bool is_terminal = context.platform.terminal >= 0;
  std::optional<NoEcho> silence;
  if (is_terminal) {
    context.err().write("value (not shown): ");
    silence.emplace(context.platform.terminal);
  }
  std::string value;
  std::array<char, 4096> buffer{};
  while (value.size() <= kMaxSecretBytes) {
    const ssize_t count = ::read(context.platform.input, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return os::errno_failure("cannot read the secret from standard input");
    }
    value.append(buffer.data(), static_cast<std::size_t>(count));
    if (count == 0 || (is_terminal && value.ends_with('\n'))) {
      break;
    }
  }
  if (is_terminal) {
    context.err().write("\n");
  }
  if (value.size() > kMaxSecretBytes) {
    return make_error(ErrorCode::kInvalidArgument, "a secret may have 1 MiB at most");
  }
  // The line feed of `echo` and of the Enter key is not part of it.
  if (value.ends_with('\n')) {
    value.pop_back();
  }
  if (value.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "the secret on standard input is empty");
  }
  return value;
}

std::string secret_target(const std::string& name) {
  return "/v1/secrets/" + net::percent_encode(name);
}

struct SecretOptions {
  std::vector<std::string> names = {};
  std::string file = {};
};

Result<int> set_secret(Context& context, const SecretOptions& options) {
  TRY_ASSIGN(ApiClient * client, context.client());
  auto value = options.file.empty() ? read_secret(context) : os::read_file(options.file, kMaxSecretBytes);
  TRY(value);
  TRY(client->put_bytes(secret_target(options.names[0]), *std::move(value)));
  if (context.wants_json()) {
    context.print_json(Json::object({{"name", options.names[0]}}));
  } else {
    context.note("secret " + options.names[0] + " is stored");
  }
  return 0;
}

Result<int> list_secrets(Context& context) {
  TRY_ASSIGN(ApiClient * client, context.client());
  TRY_ASSIGN(const Json answer, client->get("/v1/secrets"));
  if (context.wants_json()) {
    context.print_json(answer);
    return 0;
  }
  TRY_ASSIGN(const auto list, read_answer<api::SecretList>(answer));
  context.out().write(secrets_table(list.secrets, look_of(context)));
  return 0;
}

Result<int> remove_secrets(Context& context, const std::vector<std::string>& names) {
  TRY_ASSIGN(ApiClient * client, context.client());
  Json removed = Json::array();
  for (const std::string& name : names) {
    TRY(client->remove(secret_target(name)));
    removed.push(name);
  }
  if (context.wants_json()) {
    context.print_json(Json::object({{"removed", std::move(removed)}}));
  }
  return 0;
}

/// Streams an answer into a file that appears under its name only when it is whole; "-" is standard output.
Result<std::int64_t> download(Context& context, const std::string& target, const std::string& path) {
  TRY_ASSIGN(ApiClient * client, context.client());
  const bool is_standard_output = path == "-";
  const std::string partial = path + ".part";
  os::UniqueFd file;
  if (!is_standard_output) {
    TRY_ASSIGN(file, os::open_file(partial, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  }
  const int descriptor = is_standard_output ? context.platform.output : file.get();
  std::int64_t size = 0;
  Result<void> written;
  auto outcome = client->stream(target, [&](std::string_view bytes) {
    size += static_cast<std::int64_t>(bytes.size());
    written = os::write_all(descriptor, bytes, path);
    return written.has_value();
  });
  if (outcome && !written) {
    outcome = written;
  }
  if (outcome && !is_standard_output && (::fsync(file.get()) != 0 || std::rename(partial.c_str(), path.c_str()) != 0)) {
    outcome = os::errno_failure("cannot save " + path);
  }
  if (!outcome && !is_standard_output) {
    ::unlink(partial.c_str());
  }
  TRY(outcome);
  return size;
}

Result<int> save(Context& context, const std::string& target, const std::string& path) {
  TRY_ASSIGN(const std::int64_t size, download(context, target, path));
  if (path == "-") {
    return 0;
  }
  if (context.wants_json()) {
    context.print_json(Json::object({{"file", path}, {"bytes", size}}));
  } else {
    context.note(fmt::format("saved {} ({})", path, format_bytes({size})));
  }
  return 0;
}

Result<int> replay(Context& context, const std::string& path) {
  constexpr std::size_t kMaxJournalBytes = std::size_t{4} << 30U;
  constexpr int kDiffers = 1;
  TRY_ASSIGN(const std::string bytes, os::read_file(path, kMaxJournalBytes));
  const auto report = sched::replay_journal(bytes);
  if (!report) {
    return with_context("journal " + path, report.error());
  }
  if (context.wants_json()) {
    context.print_json(Json::object({{"steps", report->steps},
                                     {"steps_taken", report->steps_taken},
                                     {"final_hash", fmt::format("{:016x}", report->final_hash)},
                                     {"identical", report->is_identical},
                                     {"first_difference", report->first_difference},
                                     {"difference", report->difference}}));
  } else if (report->is_identical) {
    const std::string older = report->steps_taken == 0 ? ""
                                                       : fmt::format(
                                                             " ({} before them are of an older format and were "
                                                             "taken as recorded)",
                                                             report->steps_taken);
    context.out().line(fmt::format("{} steps decided again: all the same, final hash {:016x}{}",
                                   report->steps - report->steps_taken, report->final_hash, older));
  } else {
    context.out().line(fmt::format("step {} differs (of {} decided again):\n{}", report->first_difference,
                                   report->steps, printable(report->difference)));
  }
  return report->is_identical ? 0 : kDiffers;
}

struct RestoreOptions {
  std::vector<std::string> files = {};
  bool replaces_existing = false;
};

Result<int> restore(Context& context, const RestoreOptions& options) {
  if (!context.hooks.restore) {
    return make_error(ErrorCode::kUnsupported, "this build of busbar has no server in it");
  }
  TRY_ASSIGN(const std::string done,
             context.hooks.restore(
                 {.backup_file = options.files[0],
                  .state_dir = find_state_dir(context.global.state_dir, context.platform.environment, ::geteuid() == 0),
                  .replaces_existing = options.replaces_existing}));
  if (context.wants_json()) {
    context.print_json(Json::object({{"restored", options.files[0]}, {"message", done}}));
  } else {
    context.out().line(done);
  }
  return 0;
}

Result<int> version(Context& context) {
  Json json = Json::object({{"version", context.hooks.version}, {"build_id", context.hooks.build_id}});
  std::string text = "busbar " + context.hooks.version;
  if (!context.hooks.build_id.empty()) {
    text += " (" + context.hooks.build_id + ")";
  }
  text += "\n";
  TRY_ASSIGN(ApiClient * client, context.client());
  const auto answer = client->get("/v1/server");
  const auto server = answer ? read_answer<api::ServerStatus>(*answer) : tl::unexpected(answer.error());
  if (server) {
    json.set("server", *answer);
    text += fmt::format("server {} ({}){}, up since {}\n", printable(server->version), printable(server->build_id),
                        server->runtime.empty() ? "" : ", runtime " + printable(server->runtime),
                        short_time(server->started_ms));
    for (const auto& capability : server->capabilities) {
      text += fmt::format("  {} {:<18} {}\n", capability.is_available ? "+" : "-", printable(capability.name),
                          printable(capability.detail));
    }
  } else {
    json.set("server", Json());
    text += "server: " + printable(server.error().to_string()) + "\n";
  }
  context.wants_json() ? context.print_json(json) : context.out().write(text);
  return 0;
}

/// A verb with one FILE.
Command file_command(std::string name, std::string summary,
                     std::function<Result<int>(Context&, const std::string&)> run) {
  auto files = std::make_shared<std::vector<std::string>>();
  return {.name = name,
          .summary = std::move(summary),
          .usage = fmt::format("busbar {} FILE", name),
          .positional = {.name = "FILE", .least = 1, .most = 1, .target = files.get(), .complete = Complete::kFiles},
          .run = [files, run = std::move(run)](Context& context) { return run(context, files->front()); }};
}

}  // namespace

Command secret_set_command() {
  auto options = std::make_shared<SecretOptions>();
  return {
      .name = "secret set",
      .summary = "store a secret, read from standard input",
      .usage = "busbar secret set [flags] NAME",
      .details =
          "The value is read from standard input, never from the command line, where ps would show it. A "
          "job names it under secrets: and finds it in /run/secrets/NAME.",
      .flags = {with_completion(
          text_flag("--from-file", "FILE", "the value is this file, byte for byte", options->file), Complete::kFiles)},
      .positional = {.name = "NAME", .least = 1, .most = 1, .target = &options->names, .complete = Complete::kSecrets},
      .examples = {{"busbar secret set hub-token < token.txt", "from a file"},
                   {"busbar secret set hub-token", "typed, not shown"}},
      .run = [options](Context& context) { return set_secret(context, *options); }};
}

Command secret_list_command() {
  return {.name = "secret list",
          .summary = "list the names of secrets",
          .usage = "busbar secret list",
          .examples = {{"busbar secret list", "no answer of the server ever holds a value"}},
          .run = [](Context& context) { return list_secrets(context); }};
}

Command secret_rm_command() {
  auto names = std::make_shared<std::vector<std::string>>();
  return {
      .name = "secret rm",
      .summary = "forget secrets",
      .usage = "busbar secret rm NAME...",
      .positional = {.name = "NAME", .least = 1, .most = 1'000, .target = names.get(), .complete = Complete::kSecrets},
      .examples = {{"busbar secret rm hub-token", "running jobs keep what they have"}},
      .run = [names](Context& context) { return remove_secrets(context, *names); }};
}

Command journal_export_command() {
  Command command =
      file_command("journal export", "save the scheduler's journal",
                   [](Context& context, const std::string& path) { return save(context, "/v1/journal", path); });
  command.details =
      "Every event and decision since the last snapshot, for busbar replay and for bug reports. - is "
      "standard output.";
  command.examples = {{"busbar journal export pool.bbj && busbar replay pool.bbj", "check that decisions repeat"}};
  return command;
}

Command replay_command() {
  Command command = file_command("replay", "decide a saved journal again and compare", replay);
  command.details = "Needs no server. Exit code 1 if a step differs.";
  command.examples = {{"busbar replay pool.bbj", "names the first step that differs"}};
  return command;
}

Command backup_command() {
  Command command = file_command("backup", "save the server's database", [](Context& context, const std::string& path) {
    return save(context, "/v1/backup", path);
  });
  command.details =
      "A consistent copy, made while the server works; jobs, journal, sealed secrets. - is standard "
      "output.";
  command.examples = {{"busbar backup /backup/busbar-$(date +%F).db", "from cron"}};
  return command;
}

Command restore_command() {
  auto options = std::make_shared<RestoreOptions>();
  return {
      .name = "restore",
      .summary = "put a backup back (server stopped)",
      .usage = "busbar restore [flags] FILE",
      .details = "Works on the state directory of a server that does not run.",
      .flags = {switch_flag("--replace", "also if there is a database already; it is kept beside",
                            options->replaces_existing)},
      .positional = {.name = "FILE", .least = 1, .most = 1, .target = &options->files, .complete = Complete::kFiles},
      .examples = {{"busbar restore --replace /backup/busbar-2026-01-02.db", "then busbar up"}},
      .run = [options](Context& context) { return restore(context, *options); }};
}

Command schema_command() {
  return {.name = "schema",
          .summary = "print the JSON Schema of job files",
          .usage = "busbar schema",
          .details = "For editors that check and complete YAML. Needs no server.",
          .examples = {{"busbar schema > busbar.schema.json",
                        "then, in a job file: # yaml-language-server: $schema=busbar.schema.json"}},
          .run = [](Context& context) -> Result<int> {
            const std::string schema = launch::job_file_schema();
            context.out().write(schema.ends_with('\n') ? schema : schema + "\n");
            return 0;
          }};
}

Command completion_command() {
  auto words = std::make_shared<std::vector<std::string>>();
  return {.name = "completion",
          .summary = "print a completion script for a shell",
          .usage = "busbar completion bash|zsh|fish",
          .positional = {.name = "SHELL",
                         .least = 1,
                         .most = 1,
                         .target = words.get(),
                         .complete = Complete::kWords,
                         .words = {"bash", "zsh", "fish"}},
          .examples = {{"source <(busbar completion bash)", "in ~/.bashrc"},
                       {"busbar completion fish | source", "in ~/.config/fish/config.fish"}},
          .run = [words](Context& context) -> Result<int> {
            const std::string& shell = words->front();
            if (shell != "bash" && shell != "zsh" && shell != "fish") {
              return make_error(ErrorCode::kInvalidArgument,
                                "no completion for \"" + shell + "\"; there is bash, zsh and fish");
            }
            context.out().write(completion_script(shell));
            return 0;
          }};
}

Command version_command() {
  return {.name = "version",
          .summary = "print versions",
          .usage = "busbar version",
          .details = "Of this program and of the server, with what the server's engine can do.",
          .examples = {{"busbar version --json", "for bug reports"}},
          .run = [](Context& context) { return version(context); }};
}

}  // namespace busbar::cli

#include <unistd.h>

#include <charconv>
#include <memory>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "cli/context.h"

namespace busbar::cli {
namespace {

struct GatewayFlags {
  std::string listen = {};
  std::string admin = {};
  std::string tls_listen = {};
  std::vector<std::string> tls_cert = {};
  std::vector<std::string> tls_key = {};
  std::string routes = {};
  std::string access_log = {};
  std::string threads = {};
  std::string idle_timeout = "75s";
  bool has_thread_files = false;
  std::string log_level = "info";
  std::string log_file = {};
};

struct HostPort {
  std::string host = {};
  std::uint16_t port = 0;
};

/// "127.0.0.1:80", "[::1]:80", ":80".
Result<HostPort> parse_host_port(std::string_view flag, std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const std::string_view digits = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  const auto port = parse_int(digits);
  if (!port || *port < 0 || *port > 65'535) {
    return make_error(ErrorCode::kInvalidArgument, std::string(flag) + " \"" + std::string(text) +
                                                       "\" is not HOST:PORT, for example 127.0.0.1:7780");
  }
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return HostPort{.host = host.empty() ? "0.0.0.0" : std::string(host), .port = static_cast<std::uint16_t>(*port)};
}

Result<void> take_tls(const GatewayFlags& flags, const HostPort& listen, GatewayCommandOptions& options) {
  if (flags.tls_cert.empty()) {
    if (flags.tls_listen.empty() && flags.tls_key.empty()) return {};
    return make_error(ErrorCode::kInvalidArgument, "TLS needs a certificate: add --tls-cert FILE and --tls-key FILE");
  }
  if (!flags.tls_key.empty() && flags.tls_key.size() != flags.tls_cert.size()) {
    return make_error(
        ErrorCode::kInvalidArgument,
        "there are " + std::to_string(flags.tls_cert.size()) + " --tls-cert and " +
            std::to_string(flags.tls_key.size()) +
            " --tls-key; give one key for each certificate, or none where the keys are in the same files");
  }
  const HostPort usual{.host = listen.host, .port = 7743};
  TRY_ASSIGN(const HostPort secure,
             flags.tls_listen.empty() ? Result<HostPort>(usual) : parse_host_port("--tls-listen", flags.tls_listen));
  options.tls_address = secure.host;
  options.tls_port = secure.port;
  options.tls_certificate_files = flags.tls_cert;
  options.tls_key_files = flags.tls_key;
  return {};
}

Result<int> run_gateway(Context& context, const GatewayFlags& flags) {
  if (!context.hooks.gateway) {
    return make_error(ErrorCode::kUnsupported, "this build of busbar has no gateway in it");
  }
  GatewayCommandOptions options{.routes_file = flags.routes,
                                .access_log = flags.access_log,
                                .log_level = flags.log_level,
                                .log_file = flags.log_file,
                                .has_thread_files = flags.has_thread_files};
  TRY_ASSIGN(const HostPort listen,
             parse_host_port("--listen", flags.listen.empty() ? "127.0.0.1:7780" : flags.listen));
  // Beside the gateway's own port, unless told otherwise.
  const HostPort beside{
      .host = "127.0.0.1",
      .port = static_cast<std::uint16_t>(listen.port == 0 || listen.port == 65'535 ? 0 : listen.port + 1)};
  TRY_ASSIGN(const HostPort admin,
             flags.admin.empty() ? Result<HostPort>(beside) : parse_host_port("--admin", flags.admin));
  options.address = listen.host;
  options.port = listen.port;
  options.admin_address = admin.host;
  options.admin_port = admin.port;
  TRY(take_tls(flags, listen, options));
  if (!flags.threads.empty()) {
    const auto threads = parse_int(flags.threads);
    if (!threads || *threads < 1 || *threads > 1024) {
      return make_error(ErrorCode::kInvalidArgument,
                        "--threads \"" + flags.threads + "\" is not a number from 1 to 1024");
    }
    options.threads = static_cast<std::size_t>(*threads);
  }
  TRY_ASSIGN(options.idle_timeout_ms, parse_duration_ms(flags.idle_timeout));
  options.state_dir = find_state_dir(context.global.state_dir, context.platform.environment, ::geteuid() == 0);
  options.locate = [&context]() -> Result<net::HttpClientOptions> {
    const FileReader reader = read_text_file;
    TRY_ASSIGN(const Endpoint where, resolve_endpoint({.global = context.global,
                                                       .environment = context.platform.environment,
                                                       .read_file = reader,
                                                       .is_root = ::geteuid() == 0}));
    return net::HttpClientOptions{.base_url = where.url, .bearer_token = where.token};
  };
  return context.hooks.gateway(options);
}

}  // namespace

Command gateway_command() {
  auto flags = std::make_shared<GatewayFlags>();
  return {
      .name = "gateway",
      .summary = "run the gateway of services",
      .usage = "busbar gateway [flags]",
      .details =
          "Takes requests for services and passes them to their replicas: by the service's own host, by "
          "/services/NAME/, or by the model that a call of OpenAI's form names. `busbar up` starts one; it keeps "
          "serving while the server is away. SIGTERM ends it when the last request has its answer.",
      .flags = {text_flag("--listen", "HOST:PORT", "where clients connect (default: 127.0.0.1:7780)", flags->listen),
                text_flag("--admin", "HOST:PORT", "metrics and health (default: 127.0.0.1, the port after --listen)",
                          flags->admin),
                text_flag("--tls-listen", "HOST:PORT",
                          "where clients connect by TLS (default with a certificate: the host of --listen, port 7743)",
                          flags->tls_listen),
                with_completion(list_flag("--tls-cert", "FILE",
                                          "a certificate with its chain (PEM); several: by the name that a client asks "
                                          "for. Read again on SIGHUP and when it changes",
                                          flags->tls_cert),
                                Complete::kFiles),
                with_completion(list_flag("--tls-key", "FILE",
                                          "the key of each --tls-cert, in the same order (default: in the same file)",
                                          flags->tls_key),
                                Complete::kFiles),
                with_completion(text_flag("--routes", "FILE",
                                          "a route table of its own (JSON) in place of a server's; "
                                          "read again on SIGHUP",
                                          flags->routes),
                                Complete::kFiles),
                with_completion(text_flag("--access-log", "FILE", "a JSON line for each request", flags->access_log),
                                Complete::kFiles),
                text_flag("--threads", "N", "threads of the data path (default: one a core)", flags->threads),
                switch_flag("--thread-files",
                            "a table of open files for each thread: for more connections than the limit of open files, "
                            "where that cannot be raised",
                            flags->has_thread_files),
                text_flag("--idle-timeout", "TIME", "closes a client's connection after so long without a request",
                          flags->idle_timeout),
                with_completion(text_flag("--log-level", "LEVEL", "debug, info, warning or error", flags->log_level),
                                Complete::kWords, {"debug", "info", "warning", "error"}),
                with_completion(
                    text_flag("--log-file", "FILE", "where the log goes (default: standard error)", flags->log_file),
                    Complete::kFiles)},
      .examples = {{"busbar gateway", "for the server of this machine"},
                   {"busbar gateway --listen 0.0.0.0:80 --access-log /var/log/busbar-access.log", "for everybody"},
                   {"busbar gateway --tls-listen 0.0.0.0:443 --tls-cert example.pem --tls-key example.key", "with TLS"},
                   {"busbar gateway --routes routes.json", "without a server"}},
      .run = [flags](Context& context) { return run_gateway(context, *flags); }};
}

}  // namespace busbar::cli

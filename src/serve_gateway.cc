#include "serve_gateway.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <utility>

#include "base/json.h"
#include "gateway/admin.h"
#include "gateway/gateway.h"
#include "gateway/route_feed.h"
#include "os/files.h"
#include "os/log.h"
#include "os/process.h"
#include "os/signals.h"
#include "route/table.h"

namespace busbar {
namespace {

constexpr std::size_t kMaxTableBytes = 64 << 20;
constexpr std::int64_t kDrainMs = 30'000;
constexpr std::chrono::seconds kLookAtFiles{10};

Result<void> load_routes(gateway::Gateway& gateway, const std::string& file) {
  TRY_ASSIGN(const std::string text, os::read_file(file, kMaxTableBytes));
  const auto json = parse_json(text);
  if (!json) return with_context(fmt::format("{} is not JSON", file), json.error());
  auto table = route::table_from_json(*json);
  if (!table) return with_context(file, table.error());
  // A file has no history: each reading of it is a version.
  table->version = std::max(table->version, gateway.table_version() + 1);
  return gateway.update(*std::move(table));
}

/// How others on this machine find the gateway; removed at the end.
class InfoFile {
 public:
  InfoFile(std::string path, const Json& info) : path_(std::move(path)) {
    const auto written = os::write_file_atomic(path_, info.dump() + "\n", 0644, os::Durability::kCached);
    if (!written) LOG(kWarning, "gateway_file_not_written", {{"error", written.error().to_string()}});
  }
  ~InfoFile() { ::unlink(path_.c_str()); }
  InfoFile(const InfoFile&) = delete;
  InfoFile& operator=(const InfoFile&) = delete;

 private:
  std::string path_;
};

std::string url_of(std::string_view scheme, const std::string& address, std::uint16_t port) {
  const bool is_v6 = address.find(':') != std::string::npos;
  return is_v6 ? fmt::format("{}://[{}]:{}", scheme, address, port) : fmt::format("{}://{}:{}", scheme, address, port);
}

std::vector<gateway::TlsCertificate> certificates_of(const cli::GatewayCommandOptions& options) {
  std::vector<gateway::TlsCertificate> result;
  for (std::size_t index = 0; index < options.tls_certificate_files.size(); ++index) {
    result.push_back({.certificate_file = options.tls_certificate_files[index],
                      .key_file = index < options.tls_key_files.size() ? options.tls_key_files[index] : ""});
  }
  return result;
}

/// Whether the certificates' files are others than at the last call: who renews them tells nobody.
class FileWatch {
 public:
  explicit FileWatch(const std::vector<gateway::TlsCertificate>& certificates) {
    for (const gateway::TlsCertificate& each : certificates) {
      files_.push_back(each.certificate_file);
      if (!each.key_file.empty()) files_.push_back(each.key_file);
    }
    has_changed();
  }
  bool has_changed() {
    std::string now;
    for (const std::string& file : files_) {
      struct stat status = {};
      if (stat(file.c_str(), &status) != 0) continue;
      now += fmt::format("{} {} {}.{},", status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    }
    return std::exchange(seen_, now) != now;
  }

 private:
  std::vector<std::string> files_ = {};
  std::string seen_ = {};
};

void reload_certificates(gateway::Gateway& gateway) {
  const auto reloaded = gateway.reload_certificates();
  if (!reloaded) {
    LOG(kError, "certificates_refused", {{"error", reloaded.error().to_string()}});
  } else {
    LOG(kInfo, "certificates_read", {});
  }
}

Result<void> run_gateway(const cli::GatewayCommandOptions& options) {
  TRY_ASSIGN(os::SignalFd signals, os::SignalFd::create({SIGTERM, SIGINT, SIGHUP}));
  TRY_ASSIGN(const os::LogLevel level, os::parse_log_level(options.log_level));
  TRY(os::configure_log({.level = level, .file = options.log_file}));
  const std::vector<gateway::TlsCertificate> certificates = certificates_of(options);
  FileWatch watch(certificates);
  TRY_ASSIGN(const std::unique_ptr<gateway::Gateway> gateway,
             gateway::Gateway::start({.bind_address = options.address,
                                      .port = options.port,
                                      .threads = options.threads,
                                      .access_log = options.access_log,
                                      .name = fmt::format("gateway-{}-{}", getpid(), options.port),
                                      .has_thread_files = options.has_thread_files,
                                      .idle_timeout_ms = options.idle_timeout_ms,
                                      .tls_certificates = certificates,
                                      .tls_bind_address = options.tls_address,
                                      .tls_port = options.tls_port}));
  std::unique_ptr<gateway::RouteFeed> feed;
  if (!options.routes_file.empty()) {
    TRY(load_routes(*gateway, options.routes_file));
  } else {
    const std::string cache = options.state_dir.empty() ? "" : os::join_path(options.state_dir, "routes.json");
    TRY_ASSIGN(feed, gateway::RouteFeed::start(*gateway, {.locate = options.locate, .cache_file = cache}));
  }
  TRY_ASSIGN(const std::unique_ptr<gateway::Admin> admin,
             gateway::Admin::start(*gateway, options.admin_address, options.admin_port));
  const std::string url = url_of("http", options.address, gateway->port());
  const std::string admin_url = url_of("http", options.admin_address, admin->port());
  std::unique_ptr<InfoFile> info;
  if (!options.state_dir.empty() && options.routes_file.empty()) {
    info = std::make_unique<InfoFile>(os::join_path(options.state_dir, "gateway.json"),
                                      Json::object({{"url", url},
                                                    {"admin_url", admin_url},
                                                    {"pid", getpid()},
                                                    {"start_ticks", os::process_start_ticks(getpid()).value_or(0)}}));
  }
  const std::string secure =
      gateway->tls_port() == 0 ? "" : ", TLS at " + url_of("https", options.tls_address, gateway->tls_port());
  fmt::print("busbar gateway is ready: {} (metrics at {}/metrics{})\n", url, admin_url, secure);
  std::fflush(stdout);
  while (true) {
    const std::optional<int> signal = signals.wait(kLookAtFiles);
    if (signal && signal != SIGHUP) break;
    if (watch.has_changed() || (signal && !certificates.empty())) reload_certificates(*gateway);
    if (!signal || options.routes_file.empty()) continue;
    const auto loaded = load_routes(*gateway, options.routes_file);
    if (!loaded) LOG(kError, "routes_refused", {{"error", loaded.error().to_string()}});
  }
  LOG(kInfo, "gateway_draining", {{"clients", gateway->clients()}});
  gateway->stop(kDrainMs);
  return {};
}

}  // namespace

int serve_gateway(const cli::GatewayCommandOptions& options) {
  const auto done = run_gateway(options);
  if (done) return 0;
  fmt::print(stderr, "busbar: error: {}\n", done.error().to_string());
  return exit_code(done.error().code);
}

}  // namespace busbar

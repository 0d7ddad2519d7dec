#include "gateway/admin.h"

#include <utility>

namespace busbar::gateway {

class Admin::Handler final : public net::HttpHandler {
 public:
  explicit Handler(const Gateway& gateway) : gateway_(gateway) {}

  void handle(net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange) override {
    const bool is_read = request.method == "GET" || request.method == "HEAD";
    if (!is_read) {
      exchange->respond(net::text_response(405, "text/plain", "only GET\n"));
    } else if (request.path == "/healthz") {
      exchange->respond(net::text_response(200, "text/plain", "ok\n"));
    } else if (request.path == "/readyz") {
      const bool is_ready = gateway_.table_version() > 0;
      exchange->respond(is_ready ? net::text_response(200, "text/plain", "ok\n")
                                 : net::text_response(503, "text/plain", "no route table yet\n"));
    } else if (request.path == "/metrics") {
      exchange->respond(net::text_response(200, "text/plain; version=0.0.4; charset=utf-8", gateway_.metrics_text()));
    } else {
      exchange->respond(net::text_response(404, "text/plain", "/healthz, /readyz or /metrics\n"));
    }
  }

 private:
  const Gateway& gateway_;
};

Result<std::unique_ptr<Admin>> Admin::start(const Gateway& gateway, const std::string& address, std::uint16_t port) {
  std::unique_ptr<Admin> admin(new Admin());
  admin->handler_ = std::make_unique<Handler>(gateway);
  TRY_ASSIGN(admin->server_, net::HttpServer::start({.bind_address = address, .port = port}, *admin->handler_));
  return admin;
}

}  // namespace busbar::gateway

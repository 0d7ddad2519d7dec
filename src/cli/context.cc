#include "cli/context.h"

#include <unistd.h>

#include <utility>

namespace busbar::cli {

Result<const Endpoint*> Context::endpoint() {
  if (!endpoint_) {
    const FileReader reader = read_text_file;
    TRY_ASSIGN(
        Endpoint found,
        resolve_endpoint(
            {.global = global, .environment = platform.environment, .read_file = reader, .is_root = ::geteuid() == 0}));
    endpoint_ = std::make_unique<Endpoint>(std::move(found));
  }
  return endpoint_.get();
}

Result<ApiClient*> Context::client() {
  if (!client_) {
    TRY_ASSIGN(client_, new_client());
  }
  return client_.get();
}

Result<std::unique_ptr<ApiClient>> Context::new_client() {
  TRY_ASSIGN(const Endpoint* where, endpoint());
  return ApiClient::open(*where);
}

void Context::note(std::string_view text) {
  if (!global.is_quiet) {
    err().line(text);
  }
}

void Context::print_json(const Json& json) {
  out().line(out().is_terminal() ? json.dump_pretty() : json.dump());
}

void Context::print_json_line(const Json& json) {
  out().line(json.dump());
}

}  // namespace busbar::cli

#include "gateway/internal/ssl_library.h"

#include <utility>

#include "os/dynamic_library.h"

namespace busbar::gateway::internal {
namespace {

Result<SslLibrary> find_functions(const os::DynamicLibrary& library) {
  SslLibrary ssl;
  TRY(library.require("TLS_server_method", ssl.TLS_server_method));
  TRY(library.require("SSL_CTX_new", ssl.SSL_CTX_new));
  TRY(library.require("SSL_CTX_free", ssl.SSL_CTX_free));
  TRY(library.require("SSL_CTX_ctrl", ssl.SSL_CTX_ctrl));
  TRY(library.require("SSL_CTX_callback_ctrl", ssl.SSL_CTX_callback_ctrl));
  TRY(library.require("SSL_CTX_set_options", ssl.SSL_CTX_set_options));
  TRY(library.require("SSL_CTX_set_cipher_list", ssl.SSL_CTX_set_cipher_list));
  TRY(library.require("SSL_CTX_set_default_passwd_cb", ssl.SSL_CTX_set_default_passwd_cb));
  TRY(library.require("SSL_CTX_use_certificate_chain_file", ssl.SSL_CTX_use_certificate_chain_file));
  TRY(library.require("SSL_CTX_use_PrivateKey_file", ssl.SSL_CTX_use_PrivateKey_file));
  TRY(library.require("SSL_CTX_get0_certificate", ssl.SSL_CTX_get0_certificate));
  TRY(library.require("SSL_CTX_set_alpn_select_cb", ssl.SSL_CTX_set_alpn_select_cb));
  TRY(library.require("SSL_CTX_set_session_id_context", ssl.SSL_CTX_set_session_id_context));
  TRY(library.require("SSL_new", ssl.SSL_new));
  TRY(library.require("SSL_free", ssl.SSL_free));
  TRY(library.require("SSL_set_bio", ssl.SSL_set_bio));
  TRY(library.require("SSL_set_accept_state", ssl.SSL_set_accept_state));
  TRY(library.require("SSL_do_handshake", ssl.SSL_do_handshake));
  TRY(library.require("SSL_read_ex", ssl.SSL_read_ex));
  TRY(library.require("SSL_write_ex", ssl.SSL_write_ex));
  TRY(library.require("SSL_get_error", ssl.SSL_get_error));
  TRY(library.require("SSL_shutdown", ssl.SSL_shutdown));
  TRY(library.require("SSL_get_servername", ssl.SSL_get_servername));
  TRY(library.require("SSL_set_SSL_CTX", ssl.SSL_set_SSL_CTX));
  TRY(library.require("SSL_get0_alpn_selected", ssl.SSL_get0_alpn_selected));
  return ssl;
}

Result<const SslLibrary*> open_library() {
  TRY_ASSIGN(os::DynamicLibrary library, os::DynamicLibrary::open("libssl.so.3"));
  TRY_ASSIGN(const SslLibrary functions, find_functions(library));
  struct Loaded {
    os::DynamicLibrary library;
    SslLibrary functions;
  };
  // Connections may outlive every static object that would close it.
  static const auto* const loaded = new Loaded{.library = std::move(library), .functions = functions};
  return &loaded->functions;
}

}  // namespace

Result<const SslLibrary*> SslLibrary::load() {
  static const Result<const SslLibrary*> result = open_library();
  return result;
}

}  // namespace busbar::gateway::internal

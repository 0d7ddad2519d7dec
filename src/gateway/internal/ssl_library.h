#pragma once

#include <openssl/ssl.h>

#include "base/error.h"

namespace busbar::gateway::internal {

/// The functions of OpenSSL's libssl that TLS of the gateway calls, under their own names, so that OpenSSL's macros
/// work where the members are in scope. Loaded when the first certificate is, since linking it would make every verb of
/// the program start a millisecond later; libcrypto is linked anyway. Never unloaded. Thread-safe.
struct SslLibrary {
  /// kUnsupported with the linker's words where libssl is missing.
  static Result<const SslLibrary*> load();

  decltype(&::TLS_server_method) TLS_server_method = nullptr;
  decltype(&::SSL_CTX_new) SSL_CTX_new = nullptr;
  decltype(&::SSL_CTX_free) SSL_CTX_free = nullptr;
  decltype(&::SSL_CTX_ctrl) SSL_CTX_ctrl = nullptr;
  decltype(&::SSL_CTX_callback_ctrl) SSL_CTX_callback_ctrl = nullptr;
  decltype(&::SSL_CTX_set_options) SSL_CTX_set_options = nullptr;
  decltype(&::SSL_CTX_set_cipher_list) SSL_CTX_set_cipher_list = nullptr;
  decltype(&::SSL_CTX_set_default_passwd_cb) SSL_CTX_set_default_passwd_cb = nullptr;
  decltype(&::SSL_CTX_use_certificate_chain_file) SSL_CTX_use_certificate_chain_file = nullptr;
  decltype(&::SSL_CTX_use_PrivateKey_file) SSL_CTX_use_PrivateKey_file = nullptr;
  decltype(&::SSL_CTX_get0_certificate) SSL_CTX_get0_certificate = nullptr;
  decltype(&::SSL_CTX_set_alpn_select_cb) SSL_CTX_set_alpn_select_cb = nullptr;
  decltype(&::SSL_CTX_set_session_id_context) SSL_CTX_set_session_id_context = nullptr;
  decltype(&::SSL_new) SSL_new = nullptr;
  decltype(&::SSL_free) SSL_free = nullptr;
  decltype(&::SSL_set_bio) SSL_set_bio = nullptr;
  decltype(&::SSL_set_accept_state) SSL_set_accept_state = nullptr;
  decltype(&::SSL_do_handshake) SSL_do_handshake = nullptr;
  decltype(&::SSL_read_ex) SSL_read_ex = nullptr;
  decltype(&::SSL_write_ex) SSL_write_ex = nullptr;
  decltype(&::SSL_get_error) SSL_get_error = nullptr;
  decltype(&::SSL_shutdown) SSL_shutdown = nullptr;
  decltype(&::SSL_get_servername) SSL_get_servername = nullptr;
  decltype(&::SSL_set_SSL_CTX) SSL_set_SSL_CTX = nullptr;
  decltype(&::SSL_get0_alpn_selected) SSL_get0_alpn_selected = nullptr;
};

}  // namespace busbar::gateway::internal

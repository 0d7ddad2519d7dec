#include "gateway/internal/tls.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "os/files.h"

namespace busbar::gateway::internal {
namespace {

constexpr std::size_t kMaxPemBytes = 1 << 20;
constexpr std::size_t kRecordBytes = 16 << 10;
constexpr std::size_t kTicketKeyBytes = 80;
// ECDHE only: what is recorded today cannot be read with tomorrow's stolen key. TLS 1.3 has its own list, all good.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr unsigned char kProtocols[] = "\x02h2\x08http/1.1";

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  return result;
}

std::string last_error() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* const reason = ERR_reason_error_string(code);
  return reason == nullptr ? "unknown reason" : reason;
}

/// A key behind a passphrase: there is nobody to ask.
int no_passphrase(char*, int, int, void*) {
  return 0;
}

/// The first of our protocols that the client offers. One that offers others only is told so (RFC 7301 §3.2).
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered,
                    unsigned int offered_size, void*) {
  const unsigned char* const ours_end = kProtocols + sizeof(kProtocols) - 1;
  for (const unsigned char* ours = kProtocols; ours < ours_end; ours += 1 + *ours) {
    for (const unsigned char* theirs = offered; theirs < offered + offered_size; theirs += 1 + *theirs) {
      if (*theirs != *ours || std::memcmp(theirs + 1, ours + 1, *ours) != 0) continue;
      *chosen = ours + 1;
      *chosen_size = *ours;
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int choose_identity(SSL* connection, int*, void* argument) {
  const auto& identities = *static_cast<const TlsIdentities*>(argument);
  const char* const name = identities.library().SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
  SSL_CTX* const context = name == nullptr ? nullptr : identities.for_name(name);
  if (context != nullptr) identities.library().SSL_set_SSL_CTX(connection, context);
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

TlsIdentities::~TlsIdentities() {
  for (SSL_CTX* context : contexts_) ssl_.SSL_CTX_free(context);
}

Result<std::shared_ptr<const TlsIdentities>> TlsIdentities::load(const std::vector<TlsCertificate>& files,
                                                                 const TlsIdentities* previous) {
  if (files.empty()) return make_error(ErrorCode::kInvalidArgument, "TLS needs a certificate and its key");
  TRY_ASSIGN(const SslLibrary* const ssl, SslLibrary::load());
  std::shared_ptr<TlsIdentities> identities(new TlsIdentities(*ssl));
  for (const TlsCertificate& each : files) TRY(identities->add(each));
  std::array<unsigned char, kTicketKeyBytes> keys = {};
  SSL_CTX* const source = previous != nullptr ? previous->first() : identities->first();
  ssl->SSL_CTX_ctrl(source, SSL_CTRL_GET_TLSEXT_TICKET_KEYS, static_cast<long>(keys.size()), keys.data());
  for (SSL_CTX* context : identities->contexts_) {
    ssl->SSL_CTX_ctrl(context, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, static_cast<long>(keys.size()), keys.data());
    ssl->SSL_CTX_ctrl(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_ARG, 0, identities.get());
  }
  return std::shared_ptr<const TlsIdentities>(std::move(identities));
}

Result<void> TlsIdentities::add(const TlsCertificate& files) {
  const std::string& key_file = files.key_file.empty() ? files.certificate_file : files.key_file;
  // OpenSSL's own message for an absent file names neither the file nor the reason.
  for (const std::string& file : {files.certificate_file, key_file}) {
    const auto text = os::read_file(file, kMaxPemBytes);
    if (!text) return with_context("a TLS file cannot be read", text.error());
  }
  ERR_clear_error();
  SSL_CTX* const context = ssl_.SSL_CTX_new(ssl_.TLS_server_method());
  if (context == nullptr) return make_error(ErrorCode::kInternal, "OpenSSL cannot make a TLS context", last_error());
  contexts_.push_back(context);
  ssl_.SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, nullptr);
  ssl_.SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                        SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Released buffers: an idle connection keeps none of its 32 KiB.
  ssl_.SSL_CTX_ctrl(context, SSL_CTRL_MODE,
                    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER,
                    nullptr);
  ssl_.SSL_CTX_ctrl(context, SSL_CTRL_SET_READ_AHEAD, 1, nullptr);
  ssl_.SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, nullptr);
  constexpr unsigned char kSessionName[] = "busbar";
  ssl_.SSL_CTX_set_session_id_context(context, kSessionName, sizeof(kSessionName) - 1);
  CHECK(ssl_.SSL_CTX_set_cipher_list(context, kCiphers) == 1);
  ssl_.SSL_CTX_set_default_passwd_cb(context, no_passphrase);
  ssl_.SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  ssl_.SSL_CTX_callback_ctrl(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, reinterpret_cast<void (*)()>(choose_identity));
  if (ssl_.SSL_CTX_use_certificate_chain_file(context, files.certificate_file.c_str()) != 1) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} is no certificate in PEM form that can be used", files.certificate_file),
                      last_error());
  }
  if (ssl_.SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    const bool is_other = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
    return make_error(
        ErrorCode::kInvalidArgument,
        is_other ? fmt::format("the key {} does not belong to the certificate {}", key_file, files.certificate_file)
                 : fmt::format("{} is no key in PEM form without a passphrase", key_file),
        last_error());
  }
  add_names(context);
  return {};
}

void TlsIdentities::add_names(SSL_CTX* context) {
  const X509* const certificate = ssl_.SSL_CTX_get0_certificate(context);
  tm end = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1) {
    const std::int64_t end_s = timegm(&end);
    expires_s_ = expires_s_ == 0 ? end_s : std::min(expires_s_, end_s);
  }
  auto* const names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int index = 0; names != nullptr && index < sk_GENERAL_NAME_num(names); ++index) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names, index);
    if (name->type != GEN_DNS) continue;
    const auto* const text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
    // The certificate that was named first keeps the name.
    by_name_.emplace(lower(std::string_view(text, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)))),
                     context);
  }
  GENERAL_NAMES_free(names);
}

SSL_CTX* TlsIdentities::for_name(std::string_view name) const {
  const std::string wanted = lower(name);
  if (const auto exact = by_name_.find(wanted); exact != by_name_.end()) return exact->second;
  const std::size_t dot = wanted.find('.');
  if (dot == std::string::npos) return nullptr;
  const auto wildcard = by_name_.find("*" + wanted.substr(dot));
  return wildcard == by_name_.end() ? nullptr : wildcard->second;
}

TlsConnection::TlsConnection(std::shared_ptr<const TlsIdentities> identities, int fd)
    : identities_(std::move(identities)), ssl_(identities_->library()), fd_(fd) {
  connection_ = ssl_.SSL_new(identities_->first());
  CHECK(connection_ != nullptr);
  BIO* const bio = BIO_new(bio_method());
  CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  ssl_.SSL_set_bio(connection_, bio, bio);
  ssl_.SSL_set_accept_state(connection_);
}

TlsConnection::~TlsConnection() {
  ssl_.SSL_free(connection_);
}

// A BIO of our own: OpenSSL's writes by write(), which a client that has gone answers with SIGPIPE.
const BIO_METHOD* TlsConnection::bio_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "busbar socket");
    CHECK(made != nullptr);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_ctrl(made, [](BIO*, int command, long, void*) -> long { return command == BIO_CTRL_FLUSH ? 1 : 0; });
    return made;
  }();
  return method;
}

int TlsConnection::bio_read(BIO* bio, char* bytes, int size) {
  auto& self = *static_cast<TlsConnection*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (!self.socket_has_bytes_) {
    BIO_set_retry_read(bio);
    errno = EAGAIN;
    return -1;
  }
  const ssize_t count = recv(self.fd_, bytes, static_cast<std::size_t>(size), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
    self.socket_has_bytes_ = errno == EINTR;
    BIO_set_retry_read(bio);
  } else if (count > 0 && count < size && !self.has_hangup_) {
    self.socket_has_bytes_ = false;
  }
  return static_cast<int>(count);
}

int TlsConnection::bio_write(BIO* bio, const char* bytes, int size) {
  const auto& self = *static_cast<TlsConnection*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const ssize_t count = send(self.fd_, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(count);
}

TlsConnection::Handshake TlsConnection::handshake() {
  ERR_clear_error();
  const int returned = ssl_.SSL_do_handshake(connection_);
  if (returned == 1) {
    is_established_ = true;
    return Handshake::kDone;
  }
  const int error = ssl_.SSL_get_error(connection_, returned);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return Handshake::kAgain;
  is_broken_ = true;
  const bool is_http = ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
  ERR_clear_error();
  return is_http ? Handshake::kPlainHttp : Handshake::kFailed;
}

bool TlsConnection::speaks_http2() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  ssl_.SSL_get0_alpn_selected(connection_, &name, &size);
  return size == 2 && std::memcmp(name, "h2", 2) == 0;
}

void TlsConnection::note_readable(bool has_hangup) {
  socket_has_bytes_ = true;
  may_have_more_ = true;
  has_hangup_ = has_hangup_ || has_hangup;
}

// What a call that gave nothing means, in the words of recv and send.
ssize_t TlsConnection::result_of(int returned) {
  switch (ssl_.SSL_get_error(connection_, returned)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      errno = EAGAIN;
      return -1;
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    default:
      is_broken_ = true;
      ERR_clear_error();
      errno = ECONNRESET;
      return -1;
  }
}

ssize_t TlsConnection::receive(char* bytes, std::size_t size) {
  std::size_t total = 0;
  ssize_t end = 0;
  ERR_clear_error();
  while (total < size) {
    std::size_t count = 0;
    const int returned = ssl_.SSL_read_ex(connection_, bytes + total, size - total, &count);
    if (returned != 1) {
      end = result_of(returned);
      may_have_more_ = end == 0 || errno != EAGAIN;
      break;
    }
    total += count;
  }
  // What ended it, if it was an end, comes again with the next call.
  return total > 0 ? static_cast<ssize_t>(total) : end;
}

ssize_t TlsConnection::transmit(std::string_view head, std::string_view body) {
  std::size_t total = 0;
  ERR_clear_error();
  // A record for the head and what of the body fits in with it.
  std::array<char, kRecordBytes> first;
  while (total < head.size() + body.size()) {
    std::string_view next = total < head.size() ? head.substr(total) : body.substr(total - head.size());
    if (total < head.size() && !body.empty() && next.size() < first.size()) {
      const std::size_t of_body = std::min(first.size() - next.size(), body.size());
      std::memcpy(first.data(), next.data(), next.size());
      std::memcpy(first.data() + next.size(), body.data(), of_body);
      next = std::string_view(first.data(), next.size() + of_body);
    }
    std::size_t count = 0;
    const int returned = ssl_.SSL_write_ex(connection_, next.data(), next.size(), &count);
    if (returned != 1) {
      const ssize_t end = result_of(returned);
      if (end == 0) errno = EPIPE;
      return total > 0 ? static_cast<ssize_t>(total) : -1;
    }
    total += count;
  }
  return static_cast<ssize_t>(total);
}

void TlsConnection::finish() {
  if (!is_established_ || is_broken_) return;
  ERR_clear_error();
  ssl_.SSL_shutdown(connection_);
  ERR_clear_error();
}

}  // namespace busbar::gateway::internal

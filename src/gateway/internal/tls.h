#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "gateway/gateway.h"
#include "gateway/internal/ssl_library.h"

namespace busbar::gateway::internal {

/// The certificates that a gateway shows, chosen by the name that a client asks for (SNI): a certificate that has the
/// name, else one with a wildcard for it, else the first. TLS 1.2 with forward secrecy and 1.3; no renegotiation;
/// sessions are resumed by tickets, whose key is drawn at the start and kept over reloads. Immutable, shared by
/// threads.
class TlsIdentities {
 public:
  /// PEM files, the certificate with its chain. kInvalidArgument says which file and what is wrong with it.
  static Result<std::shared_ptr<const TlsIdentities>> load(const std::vector<TlsCertificate>& files,
                                                           const TlsIdentities* previous);
  ~TlsIdentities();
  TlsIdentities(const TlsIdentities&) = delete;
  TlsIdentities& operator=(const TlsIdentities&) = delete;

  const SslLibrary& library() const { return ssl_; }
  SSL_CTX* first() const { return contexts_.front(); }
  /// nullptr: no certificate has this name.
  SSL_CTX* for_name(std::string_view name) const;
  /// When the first of them ends, Unix seconds.
  std::int64_t expires_s() const { return expires_s_; }

 private:
  explicit TlsIdentities(const SslLibrary& ssl) : ssl_(ssl) {}
  Result<void> add(const TlsCertificate& files);
  void add_names(SSL_CTX* context);

  const SslLibrary& ssl_;
  std::vector<SSL_CTX*> contexts_ = {};
  std::unordered_map<std::string, SSL_CTX*> by_name_ = {};  ///< Lower case; wildcards as "*.example".
  std::int64_t expires_s_ = 0;
};

/// TLS on one client's socket, which it borrows. Calls behave as recv and send do: -1 and errno EAGAIN where the socket
/// has to be waited for. Not thread-safe.
class TlsConnection {
 public:
  TlsConnection(std::shared_ptr<const TlsIdentities> identities, int fd);
  ~TlsConnection();
  TlsConnection(const TlsConnection&) = delete;
  TlsConnection& operator=(const TlsConnection&) = delete;

  enum class Handshake : std::uint8_t {
    kDone,
    kAgain,      ///< Waits for the client.
    kPlainHttp,  ///< Failed: it does not speak TLS but HTTP.
    kFailed,
  };
  Handshake handshake();
  bool is_established() const { return is_established_; }
  bool speaks_http2() const;  ///< By ALPN; known once established.

  /// The socket has something to read; `has_hangup`: its end is among it.
  void note_readable(bool has_hangup);
  /// Whether another call of `receive` may give something at once.
  bool may_have_more() const { return may_have_more_; }
  ssize_t receive(char* bytes, std::size_t size);
  /// `head`, then `body`. What was not taken comes first, unchanged, in the next call.
  ssize_t transmit(std::string_view head, std::string_view body);
  /// Tells the client that nothing more will come (close_notify), if the socket takes it.
  void finish();

 private:
  static const BIO_METHOD* bio_method();
  static int bio_read(BIO* bio, char* bytes, int size);
  static int bio_write(BIO* bio, const char* bytes, int size);
  ssize_t result_of(int returned);

  std::shared_ptr<const TlsIdentities> identities_;
  const SslLibrary& ssl_;
  int fd_;
  SSL* connection_ = nullptr;
  bool is_established_ = false;
  bool may_have_more_ = true;
  bool socket_has_bytes_ = true;  ///< Until a read comes back short: spares the call that would say EAGAIN.
  bool has_hangup_ = false;
  bool is_broken_ = false;  ///< Nothing may be written any more.
};

}  // namespace busbar::gateway::internal

#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>

#include "gateway/gateway.h"
#include "gateway/test_peers.h"

namespace busbar::gateway::testing {

/// A new folder of its own, gone with it.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// A key and a certificate that it signs itself, as PEM files NAME.pem and NAME.key; `names` as "DNS:a.example,DNS:b".
TlsCertificate make_certificate(const std::string& folder, const std::string& name, const std::string& names);

/// One TLS connection as a client has it; reads have Peer's deadline. Trusts anybody: tests look at who it is.
class TlsPeer {
 public:
  struct Ask {
    std::string server_name = {};  ///< SNI; "": none.
    std::string protocols = {};    ///< ALPN in its wire form.
    int max_version = TLS1_3_VERSION;
    SSL_SESSION* session = nullptr;  ///< To be resumed; borrowed.
    std::string ciphers = {};        ///< Of TLS 1.2; "": OpenSSL's own.
  };
  static TlsPeer connect(std::uint16_t port) { return connect(port, Ask{}); }
  static TlsPeer connect(std::uint16_t port, const Ask& ask);

  bool is_connected() const { return is_connected_; }
  std::string protocol() const;          ///< That ALPN chose.
  std::string certificate_name() const;  ///< CN of what was shown.
  bool was_resumed() const;
  /// Known once something was read, in TLS 1.3.
  std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session() const;

  void send(std::string_view bytes);
  std::string read_some();  ///< "" at the end.
  std::string read_until(std::string_view mark);
  std::string read_exactly(std::size_t count);
  std::string read_message();  ///< As Peer, by Content-Length only.
  /// The other side ended TLS properly, not by closing the socket only; waits for the end.
  bool was_ended_properly();
  Peer& socket() { return peer_; }

 private:
  explicit TlsPeer(Peer peer) : peer_(std::move(peer)) {}
  Peer peer_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, &SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, &SSL_free};
  bool is_connected_ = false;
  std::string kept_ = {};
};

}  // namespace busbar::gateway::testing

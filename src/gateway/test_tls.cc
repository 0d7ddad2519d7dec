#include "gateway/test_tls.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>

namespace busbar::gateway::testing {
namespace {

using File = std::unique_ptr<std::FILE, decltype(&std::fclose)>;

}  // namespace

TempFolder::TempFolder() {
  char pattern[] = "/tmp/busbar-gateway-XXXXXX";
  path_ = ::mkdtemp(pattern);
}

TempFolder::~TempFolder() {
  std::filesystem::remove_all(path_);
}

TlsCertificate make_certificate(const std::string& folder, const std::string& name, const std::string& names) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), &X509_free);
  X509* const x509 = certificate.get();
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
  X509_set_pubkey(x509, key.get());
  X509_NAME* const subject = X509_get_subject_name(x509);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(x509, subject);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
  X509_add_ext(x509, extension, -1);
  X509_EXTENSION_free(extension);
  X509_sign(x509, key.get(), EVP_sha256());
  TlsCertificate files{.certificate_file = folder + "/" + name + ".pem", .key_file = folder + "/" + name + ".key"};
  const File out(std::fopen(files.certificate_file.c_str(), "we"), &std::fclose);
  PEM_write_X509(out.get(), x509);
  const File secret(std::fopen(files.key_file.c_str(), "we"), &std::fclose);
  PEM_write_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return files;
}

TlsPeer TlsPeer::connect(std::uint16_t port, const Ask& ask) {
  TlsPeer peer(Peer::connect(port));
  peer.context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(peer.context_.get(), ask.max_version);
  SSL_CTX_set_security_level(peer.context_.get(), 0);
  if (!ask.ciphers.empty()) SSL_CTX_set_cipher_list(peer.context_.get(), ask.ciphers.c_str());
  if (ask.max_version < TLS1_2_VERSION) SSL_CTX_set_min_proto_version(peer.context_.get(), ask.max_version);
  peer.ssl_.reset(SSL_new(peer.context_.get()));
  SSL* const ssl = peer.ssl_.get();
  SSL_set_fd(ssl, peer.peer_.fd());
  if (!ask.server_name.empty()) SSL_set_tlsext_host_name(ssl, ask.server_name.c_str());
  if (!ask.protocols.empty()) {
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(ask.protocols.data()),
                        static_cast<unsigned int>(ask.protocols.size()));
  }
  if (ask.session != nullptr) SSL_set_session(ssl, ask.session);
  peer.is_connected_ = SSL_connect(ssl) == 1;
  return peer;
}

std::string TlsPeer::protocol() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return std::string(reinterpret_cast<const char*>(name), size);
}

std::string TlsPeer::certificate_name() const {
  const std::unique_ptr<X509, decltype(&X509_free)> shown(SSL_get1_peer_certificate(ssl_.get()), &X509_free);
  char name[256] = {};
  if (shown != nullptr) {
    X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, name, sizeof(name));
  }
  return name;
}

bool TlsPeer::was_resumed() const {
  return SSL_session_reused(ssl_.get()) == 1;
}

std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> TlsPeer::session() const {
  return {SSL_get1_session(ssl_.get()), &SSL_SESSION_free};
}

void TlsPeer::send(std::string_view bytes) {
  EXPECT_EQ(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())), static_cast<int>(bytes.size()));
}

std::string TlsPeer::read_some() {
  if (!kept_.empty()) return std::exchange(kept_, {});
  std::string bytes(64 << 10, '\0');
  const int count = SSL_read(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
  bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return bytes;
}

std::string TlsPeer::read_until(std::string_view mark) {
  std::string text;
  while (true) {
    const std::size_t found = text.find(mark);
    if (found != std::string::npos) {
      kept_ = text.substr(found + mark.size());
      return text.substr(0, found + mark.size());
    }
    const std::string more = read_some();
    if (more.empty()) return text;
    text += more;
  }
}

std::string TlsPeer::read_exactly(std::size_t count) {
  std::string text;
  while (text.size() < count) {
    const std::string more = read_some();
    if (more.empty()) return text;
    text += more;
  }
  kept_ = text.substr(count);
  text.resize(count);
  return text;
}

std::string TlsPeer::read_message() {
  const std::string head = read_until("\r\n\r\n");
  const std::size_t found = head.find("Content-Length: ");
  return found == std::string::npos ? head : head + read_exactly(std::stoul(head.substr(found + 16)));
}

bool TlsPeer::was_ended_properly() {
  while (!read_some().empty()) {
  }
  return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
}

}  // namespace busbar::gateway::testing

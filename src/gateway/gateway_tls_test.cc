#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "gateway/gateway.h"
#include "gateway/test_metrics.h"
#include "gateway/test_peers.h"
#include "gateway/test_tls.h"

namespace busbar::gateway {
namespace {

using testing::answers;
using testing::Backend;
using testing::comes_to_show;
using testing::echoes;
using testing::has;
using testing::make_certificate;
using testing::Peer;
using testing::TempFolder;
using testing::TlsPeer;

constexpr std::string_view kAsk = "GET /services/s/ HTTP/1.1\r\nHost: gw\r\n\r\n";
const std::string kHttp1 = "\x08http/1.1";

std::unique_ptr<Gateway> start_tls(std::uint16_t backend, std::vector<TlsCertificate> certificates,
                                   GatewayOptions options = {}) {
  options.threads = 1;
  options.tls_certificates = std::move(certificates);
  auto gateway = Gateway::start(std::move(options));
  EXPECT_TRUE(gateway) << gateway.error().to_string();
  route::Service service{.name = "s"};
  service.endpoints.push_back({.replica = "s-1", .address = "127.0.0.1", .port = backend});
  EXPECT_TRUE((*gateway)->update({.version = 1, .services = {service}}));
  return *std::move(gateway);
}

TEST(GatewayTls, ServesRequestsAndTellsTheReplicaThatTheyWereSecure) {
  const TempFolder folder;
  const Backend backend(echoes());
  const auto gateway = start_tls(backend.port(), {make_certificate(folder.path(), "a", "DNS:a.example")});
  TlsPeer client = TlsPeer::connect(gateway->tls_port());
  for (int round = 0; round < 3; ++round) {
    client.send(kAsk);
    EXPECT_TRUE(has(client.read_message(), "X-Forwarded-Proto: https\r\n"));
  }
  EXPECT_EQ(backend.connections(), 1U);
  Peer plain = Peer::connect(gateway->port());
  plain.send(kAsk);
  EXPECT_TRUE(has(plain.read_message(), "X-Forwarded-Proto: http\r\n"));
}

TEST(GatewayTls, CarriesLongBodiesBothWays) {
  const TempFolder folder;
  const Backend backend(echoes());
  const auto gateway = start_tls(backend.port(), {make_certificate(folder.path(), "a", "DNS:a.example")});
  TlsPeer client = TlsPeer::connect(gateway->tls_port());
  std::string body;
  for (int number = 0; body.size() < 3'000'000; ++number) body += std::to_string(number) + " ";
  const std::string head =
      "POST /services/s/ HTTP/1.1\r\nHost: gw\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  client.send(head + body);
  EXPECT_TRUE(has(client.read_message(), "\r\n\r\n" + body));
}

TEST(GatewayTls, ChoosesTheCertificateByTheNameThatIsAskedFor) {
  const TempFolder folder;
  const Backend backend(answers("ok"));
  const auto gateway =
      start_tls(backend.port(), {make_certificate(folder.path(), "first", "DNS:first.example"),
                                 make_certificate(folder.path(), "second", "DNS:second.example,DNS:*.wild.example")});
  const auto shown = [&gateway](const std::string& name) {
    return TlsPeer::connect(gateway->tls_port(), {.server_name = name}).certificate_name();
  };
  EXPECT_EQ(shown(""), "first");
  EXPECT_EQ(shown("first.example"), "first");
  EXPECT_EQ(shown("Second.Example"), "second");
  EXPECT_EQ(shown("a.wild.example"), "second");
  EXPECT_EQ(shown("a.b.wild.example"), "first");
  EXPECT_EQ(shown("wild.example"), "first");
}

TEST(GatewayTls, AgreesOnAProtocolOrRefuses) {
  const TempFolder folder;
  const Backend backend(answers("ok"));
  const auto gateway = start_tls(backend.port(), {make_certificate(folder.path(), "a", "DNS:a.example")});
  EXPECT_EQ(TlsPeer::connect(gateway->tls_port(), {.protocols = kHttp1}).protocol(), "http/1.1");
  EXPECT_EQ(TlsPeer::connect(gateway->tls_port()).protocol(), "");
  EXPECT_FALSE(TlsPeer::connect(gateway->tls_port(), {.protocols = "\x06spdy/1"}).is_connected());
}

TEST(GatewayTls, RefusesOldVersionsAndCiphersWithoutForwardSecrecy) {
  const TempFolder folder;
  const Backend backend(answers("ok"));
  const auto gateway = start_tls(backend.port(), {make_certificate(folder.path(), "a", "DNS:a.example")});
  const auto connects = [&gateway](int version, const std::string& ciphers) {
    return TlsPeer::connect(gateway->tls_port(), {.max_version = version, .ciphers = ciphers}).is_connected();
  };
  EXPECT_TRUE(connects(TLS1_3_VERSION, ""));
  EXPECT_TRUE(connects(TLS1_2_VERSION, ""));
  EXPECT_FALSE(connects(TLS1_1_VERSION, ""));
  EXPECT_FALSE(connects(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256"));
  EXPECT_FALSE(connects(TLS1_2_VERSION, "AES128-GCM-SHA256"));
  EXPECT_TRUE(comes_to_show(*gateway, "busbar_gateway_tls_handshakes_total 2\n"));
  EXPECT_TRUE(comes_to_show(*gateway, "busbar_gateway_tls_handshake_errors_total 3\n"));
}

TEST(GatewayTls, ShowsNewCertificatesWithoutDroppingConnections) {
  const TempFolder folder;
  const Backend backend(answers("ok"));
  const TlsCertificate files = make_certificate(folder.path(), "a", "DNS:a.example");
  const auto gateway = start_tls(backend.port(), {files});
  TlsPeer old = TlsPeer::connect(gateway->tls_port());
  old.send(kAsk);
  EXPECT_TRUE(has(old.read_message(), "ok"));
  const auto session = old.session();

  const TlsCertificate renewed = make_certificate(folder.path(), "b", "DNS:a.example");
  ASSERT_EQ(std::rename(renewed.certificate_file.c_str(), files.certificate_file.c_str()), 0);
  EXPECT_FALSE(gateway->reload_certificates());  // The key does not belong to it yet.
  EXPECT_EQ(TlsPeer::connect(gateway->tls_port()).certificate_name(), "a");
  ASSERT_EQ(std::rename(renewed.key_file.c_str(), files.key_file.c_str()), 0);
  EXPECT_TRUE(gateway->reload_certificates());
  while (TlsPeer::connect(gateway->tls_port()).certificate_name() != "b") {
  }
  old.send(kAsk);
  EXPECT_TRUE(has(old.read_message(), "ok"));
  EXPECT_TRUE(TlsPeer::connect(gateway->tls_port(), {.session = session.get()}).was_resumed());
}

TEST(GatewayTls, ResumesSessionsByTickets) {
  const TempFolder folder;
  const Backend backend(answers("ok"));
  const auto gateway = start_tls(backend.port(), {make_certificate(folder.path(), "a", "DNS:a.example")});
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsPeer first = TlsPeer::connect(gateway->tls_port(), {.max_version = version});
    first.send(kAsk);
    first.read_message();
    const auto session = first.session();
    EXPECT_FALSE(first.was_resumed());
    EXPECT_TRUE(
        TlsPeer::connect(gateway->tls_port(), {.max_version = version, .session = session.get()}).was_resumed());
  }
}

TEST(GatewayTls, ClosesWhoDoesNotFinishItsHandshake) {
  const TempFolder folder;
  const Backend backend(answers("ok"));
  const auto gateway =
      start_tls(backend.port(), {make_certificate(folder.path(), "a", "DNS:a.example")}, {.head_timeout_ms = 100});
  Peer silent = Peer::connect(gateway->tls_port());
  Peer slow = Peer::connect(gateway->tls_port());
  slow.send("\x16\x03\x01\x02");
  EXPECT_TRUE(silent.is_closed());
  EXPECT_TRUE(slow.is_closed());
  TlsPeer client = TlsPeer::connect(gateway->tls_port());
  client.send(kAsk);
  EXPECT_TRUE(has(client.read_message(), "ok"));
}

TEST(GatewayTls, TellsWhoSpeaksPlainHttpWhatToDo) {
  const TempFolder folder;
  const Backend backend(answers("ok"));
  const auto gateway = start_tls(backend.port(), {make_certificate(folder.path(), "a", "DNS:a.example")});
  Peer plain = Peer::connect(gateway->tls_port());
  plain.send(kAsk);
  EXPECT_TRUE(has(plain.read_message(), "use https://"));
}

TEST(GatewayTls, EndsConnectionsProperly) {
  const TempFolder folder;
  const Backend backend(answers("ok"));
  const auto gateway = start_tls(backend.port(), {make_certificate(folder.path(), "a", "DNS:a.example")});
  for (const std::string& request : {std::string("GET /services/s/ HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"),
                                     std::string("GET  /services/s/ HTTP/1.1\r\nHost: gw\r\n\r\n")}) {
    TlsPeer client = TlsPeer::connect(gateway->tls_port());
    client.send(request);
    client.read_message();
    EXPECT_TRUE(client.was_ended_properly());
  }
}

TEST(GatewayTls, ACutAnswerIsNoProperEndOfItsBody) {
  const TempFolder folder;
  const Backend backend([](Peer& peer) {
    peer.read_message();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  });
  const auto gateway = start_tls(backend.port(), {make_certificate(folder.path(), "a", "DNS:a.example")});
  TlsPeer client = TlsPeer::connect(gateway->tls_port());
  client.send(kAsk);
  const std::string answer = client.read_until("no such mark");
  EXPECT_TRUE(has(answer, "hello\r\n"));
  EXPECT_FALSE(has(answer, "0\r\n\r\n"));
}

TEST(GatewayTls, ManyClientsAtOnceGetTheirOwnAnswers) {
  const TempFolder folder;
  const Backend backend(echoes());
  const auto gateway = start_tls(backend.port(), {make_certificate(folder.path(), "a", "DNS:a.example")});
  std::vector<std::thread> clients;
  std::atomic<int> right = 0;
  for (int number = 0; number < 8; ++number) {
    clients.emplace_back([&gateway, &right, number] {
      TlsPeer client = TlsPeer::connect(gateway->tls_port());
      for (int round = 0; round < 20; ++round) {
        const std::string mark = std::to_string(number) + "-" + std::to_string(round);
        client.send("GET /services/s/" + mark + " HTTP/1.1\r\nHost: gw\r\n\r\n");
        if (has(client.read_message(), "GET /" + mark + " HTTP/1.1")) ++right;
      }
    });
  }
  for (std::thread& each : clients) each.join();
  EXPECT_EQ(right, 160);
}

TEST(GatewayTls, SaysWhichFileIsWrong) {
  const TempFolder folder;
  const TlsCertificate one = make_certificate(folder.path(), "one", "DNS:a.example");
  const TlsCertificate two = make_certificate(folder.path(), "two", "DNS:a.example");
  const auto message = [](const TlsCertificate& files) {
    const auto gateway = Gateway::start({.threads = 1, .tls_certificates = {files}});
    return gateway ? std::string("accepted") : gateway.error().to_string();
  };
  EXPECT_TRUE(has(message({.certificate_file = "/nowhere.pem", .key_file = one.key_file}), "/nowhere.pem"));
  EXPECT_TRUE(has(message({.certificate_file = one.key_file, .key_file = one.key_file}), "one.key is no certificate"));
  EXPECT_TRUE(
      has(message({.certificate_file = one.certificate_file, .key_file = two.certificate_file}), "two.pem is no key"));
  EXPECT_TRUE(has(message({.certificate_file = one.certificate_file, .key_file = two.key_file}), "does not belong to"));
}

}  // namespace
}  // namespace busbar::gateway

#include "gateway/http_head.h"

#include <gtest/gtest.h>

#include <string>

namespace busbar::gateway {
namespace {

int fault_of(const std::string& head) {
  HeadParser parser;
  EXPECT_EQ(HeadParser::head_size(head, 0), head.size());
  return parser.parse_request(head).status;
}

TEST(HeadParser, ReadsARequest) {
  const std::string text =
      "POST /v1/x?y=1 HTTP/1.1\r\nHost: Chat.Example:8080\r\nContent-Length: 12\r\nX-A:  b c \t\r\nConnection: X-A, "
      "keep-alive\r\n\r\n";
  HeadParser parser;
  ASSERT_EQ(HeadParser::head_size(text, 0), text.size());
  ASSERT_FALSE(parser.parse_request(text).is_fault());
  const RequestHead& head = parser.request();
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.target, "/v1/x?y=1");
  EXPECT_EQ(head.path, "/v1/x");
  EXPECT_EQ(head.host, "Chat.Example");
  EXPECT_EQ(head.framing, Framing::kLength);
  EXPECT_EQ(head.content_length, 12U);
  EXPECT_TRUE(head.keeps_alive);
  ASSERT_EQ(head.headers.size(), 4U);
  EXPECT_EQ(head.headers[2].value, "b c");
  EXPECT_TRUE(head.headers[2].is_hop_by_hop);
  EXPECT_TRUE(head.headers[3].is_hop_by_hop);
  EXPECT_FALSE(head.headers[0].is_hop_by_hop);
}

TEST(HeadParser, FindsTheEndOfAHeadAcrossPieces) {
  EXPECT_EQ(HeadParser::head_size("GET / HTTP/1.1\r\n\r", 0), 0U);
  EXPECT_EQ(HeadParser::head_size("GET / HTTP/1.1\r\n\r\nrest", 17), 18U);
  EXPECT_EQ(HeadParser::head_size("\r\n\r\n", 0), 4U);
  EXPECT_EQ(HeadParser::head_size("", 0), 0U);
}

// Each of these means one thing to one reader and another to the next (RFC 9112 §11.2, and what has been exploited).
TEST(HeadParser, RefusesWhatCouldBeReadInTwoWays) {
  const std::string host = "Host: a\r\n";
  const std::pair<std::string, int> cases[] = {
      {"GET / HTTP/1.1\r\n\r\n", 400},                        // no Host
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},  // two
      {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},               // an empty one
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},           // a path in it
      {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},           // user information
      {"GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", 400},          // a port that is none
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5, 5\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: +5\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 0x5\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: \r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length : 5\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: \"chunked\"\r\n\r\n", 501},
      {"POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" + host + "X: a\r\n b\r\n\r\n", 400},  // obs-fold
      {"GET / HTTP/1.1\r\n" + host + "X: a\nY: b\r\n\r\n", 400},  // a bare line feed
      {"GET / HTTP/1.1\r\n" + host + "X: a\rY: b\r\n\r\n", 400},  // a bare return
      {std::string("GET / HTTP/1.1\r\n" + host + "X: a") + '\0' + "b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" + host + ": a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" + host + "X\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" + host + "X(: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\n" + host + "\r\n", 400},
      {"GET  / HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /a b HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /\x01 HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /\xc3\xa4 HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET /a#b HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET a HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET http://b/ HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET https://a/ HTTP/1.1\r\n" + host + "\r\n", 400},
      {"CONNECT a:1 HTTP/1.1\r\n" + host + "\r\n", 501},
      {"G@T / HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET / HTTP/1.2\r\n" + host + "\r\n", 505},
      {"GET / HTTP/2.0\r\n" + host + "\r\n", 505},
      {"GET / http/1.1\r\n" + host + "\r\n", 400},
      {"GET / HTTP/1.1 \r\n" + host + "\r\n", 400},
      {"GET /\r\n" + host + "\r\n", 400},
      {" GET / HTTP/1.1\r\n" + host + "\r\n", 400},
      {"GET / HTTP/1.1\r\n" + host + "Connection: Host\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nConnection: content-length\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" + host + "Connection: a b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n" + host + "Expect: 200-maybe\r\n\r\n", 417}};
  for (const auto& [head, status] : cases) {
    SCOPED_TRACE(head);
    EXPECT_EQ(fault_of(head), status);
  }
}

TEST(HeadParser, TakesWhatIsUnusualButClear) {
  for (const std::string head :
       {"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n",
        "GET http://a/x HTTP/1.1\r\nHost: A\r\n\r\n", "OPTIONS / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa4\tb\r\n\r\n", "GET /?a=//b;c HTTP/1.1\r\nHost: a_b\r\n\r\n"}) {
    SCOPED_TRACE(head);
    EXPECT_EQ(fault_of(head), 0);
  }
}

TEST(HeadParser, KeepsAliveByVersionAndConnection) {
  const std::tuple<const char*, bool> cases[] = {{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
                                                 {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
                                                 {"GET / HTTP/1.0\r\n\r\n", false},
                                                 {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true}};
  for (const auto& [head, keeps_alive] : cases) {
    SCOPED_TRACE(head);
    HeadParser parser;
    ASSERT_FALSE(parser.parse_request(head).is_fault());
    EXPECT_EQ(parser.request().keeps_alive, keeps_alive);
  }
}

TEST(HeadParser, RefusesTooManyFields) {
  std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int count = 0; count < 100; ++count) head += "X: y\r\n";
  EXPECT_EQ(fault_of(head + "\r\n"), 431);
}

TEST(HeadParser, ReadsAnswers) {
  HeadParser parser;
  ASSERT_FALSE(parser
                   .parse_response("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: "
                                   "chunked\r\n\r\n")
                   .is_fault());
  EXPECT_EQ(parser.response().status, 200);
  EXPECT_EQ(parser.response().framing, Framing::kChunked);
  EXPECT_TRUE(parser.response().is_event_stream);
  ASSERT_FALSE(parser.parse_response("HTTP/1.0 404 Not Here\r\n\r\n").is_fault());
  EXPECT_EQ(parser.response().reason, "Not Here");
  EXPECT_EQ(parser.response().framing, Framing::kUntilClose);
  EXPECT_FALSE(parser.response().keeps_alive);
  for (const char* head : {"HTTP/1.1 20 OK\r\n\r\n", "HTTP/2 200 OK\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                           "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "hello\r\n\r\n"}) {
    SCOPED_TRACE(head);
    EXPECT_EQ(parser.parse_response(head).status, 502);
  }
}

}  // namespace
}  // namespace busbar::gateway

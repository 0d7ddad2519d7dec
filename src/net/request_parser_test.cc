#include "net/internal/request_parser.h"

#include <gtest/gtest.h>

namespace busbar::net {
namespace {

using RequestState = RequestParser::State;
constexpr RequestParser::Limits kLimits = {.max_header_bytes = 1024, .max_body_bytes = 64};

int refusal_of(std::string_view bytes) {
  RequestParser parser(kLimits);
  const RequestState state = parser.feed(bytes);
  return state == RequestState::kFailed ? parser.failure().status : 0;
}

TEST(RequestParser, ReadsARequestWhateverItsPieces) {
  const std::string bytes = "POST /v1/a%20b?x=1 HTTP/1.1\r\nHost: h\r\nX-A:  b \r\nContent-Length: 5\r\n\r\nhello";
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    SCOPED_TRACE(piece);
    RequestParser parser(kLimits);
    for (std::size_t at = 0; at < bytes.size(); at += piece) parser.feed(std::string_view(bytes).substr(at, piece));
    ASSERT_EQ(parser.state(), RequestState::kComplete);
    const HttpRequest request = parser.take();
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/v1/a b");
    EXPECT_EQ(request.query_value("x"), "1");
    EXPECT_EQ(request.header("x-a"), "b");
    EXPECT_EQ(request.body, "hello");
    EXPECT_TRUE(parser.was_keep_alive());
    EXPECT_TRUE(parser.is_between_requests());
  }
}

TEST(RequestParser, ReadsPipelinedRequestsOneByOne) {
  RequestParser parser(kLimits);
  std::string bytes;
  for (int i = 0; i < 3; ++i) bytes += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\n\r\n";
  parser.feed(bytes + "GET /last");
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(parser.feed({}), RequestState::kComplete);
    EXPECT_EQ(parser.take().path, "/" + std::to_string(i));
  }
  EXPECT_EQ(parser.feed({}), RequestState::kHead);
  EXPECT_FALSE(parser.is_between_requests());
}

TEST(RequestParser, JoinsChunksAndDropsTrailers) {
  RequestParser parser(kLimits);
  const std::string bytes =
      "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nAuthorization: Bearer forged\r\n\r\n";
  for (char byte : bytes) parser.feed({&byte, 1});
  ASSERT_EQ(parser.state(), RequestState::kComplete);
  const HttpRequest request = parser.take();
  EXPECT_EQ(request.body, "abcde");
  EXPECT_EQ(request.bearer_token(), "");
}

TEST(RequestParser, KnowsWhoWantsToBeAskedForTheBody) {
  RequestParser parser(kLimits);
  parser.feed("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(parser.state(), RequestState::kBody);
  EXPECT_TRUE(parser.expects_continue());
}

TEST(RequestParser, RefusesMalformedRequests) {
  const struct {
    const char* why;
    std::string bytes;
    int status;
  } kCases[] = {
      {"no request", "\x16\x03\x01 tls hello\r\n\r\n", 400},
      {"no version", "GET /\r\n\r\n", 400},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"unknown version", "GET / HTTP/3.1\r\nHost: h\r\n\r\n", 505},
      {"bad method", "G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"absolute form", "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"authority form", "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"dot segments", "GET /../etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"encoded NUL", "GET /a%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"bad escape", "GET /a%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"space before colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
      {"bare line feeds", "GET / HTTP/1.1\nHost: h\n\n", 505},
      {"control byte in a value", std::string("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 36), 400},
      {"two lengths", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
      {"negative length", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400},
      {"length beyond 64 bits", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
      {"length and chunks", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       400},
      {"chunks and length", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
       400},
      {"unknown coding", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 400},
      {"coding list", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400},
      {"coding twice", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", 400},
      {"chunks in 1.0", "PUT / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"bad chunk size", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
      {"endless chunk line",
       "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(10'000, 'a'), 400},
      {"big chunk", "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n", 413},
      {"big body", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 65\r\n\r\n", 413},
      {"big headers", "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(2000, 'a') + "\r\n\r\n", 431},
      {"big target", "GET /" + std::string(2000, 'a'), 431},
      {"unknown expectation", "PUT / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n", 417},
  };
  for (const auto& one : kCases) {
    SCOPED_TRACE(one.why);
    EXPECT_EQ(refusal_of(one.bytes), one.status);
  }
}

TEST(RequestParser, TakesTheUsualOddities) {
  for (const char* bytes : {
           "GET / HTTP/1.0\r\n\r\n",
           "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
           "BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n",
           "GET /%E2%82%AC?%ff HTTP/1.1\r\nHost: h\r\n\r\n",
           "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
           "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
       }) {
    RequestParser parser(kLimits);
    EXPECT_EQ(parser.feed(bytes), RequestState::kComplete) << bytes;
  }
}

}  // namespace
}  // namespace busbar::net

#include "net/internal/response_parser.h"

#include <gtest/gtest.h>

namespace busbar::net {
namespace {

using ResponseState = ResponseParser::State;

struct Read {
  ResponseState state = ResponseState::kHead;
  int status = 0;
  std::string body = {};
  bool may_reuse = false;
};

/// Feeds the bytes in pieces of `step`, then the connection's end if `ends`.
Read read(std::string_view bytes, std::size_t step, bool ends, ResponseParser::Options options = {}) {
  ResponseParser parser(options);
  std::string body;
  while (!bytes.empty()) {
    parser.feed(bytes.substr(0, step));
    body += parser.take_body();
    bytes.remove_prefix(std::min(step, bytes.size()));
  }
  if (ends) parser.finish();
  body += parser.take_body();
  return {.state = parser.state(), .status = parser.head().status, .body = body, .may_reuse = parser.may_reuse()};
}

constexpr std::string_view kChunked =
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\n\r\n";

TEST(ResponseParser, ReadsTheSameHoweverTheBytesAreCut) {
  for (std::size_t step = 1; step <= kChunked.size(); ++step) {
    SCOPED_TRACE(step);
    const Read got = read(kChunked, step, false);
    EXPECT_EQ(got.state, ResponseState::kComplete);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.body, "hello world");
    EXPECT_TRUE(got.may_reuse);
  }
}

TEST(ResponseParser, TakesNoCutAnswerForAWholeOne) {
  for (std::size_t length = 0; length < kChunked.size(); ++length) {
    EXPECT_EQ(read(kChunked.substr(0, length), 7, true).state, ResponseState::kFailed) << length;
  }
  constexpr std::string_view kFixed = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  EXPECT_EQ(read(kFixed, 100, false).body, "hello");
  EXPECT_EQ(read(kFixed.substr(0, kFixed.size() - 1), 100, true).state, ResponseState::kFailed);
}

TEST(ResponseParser, TheEndOfTheConnectionEndsAnAnswerThatSaysNoLength) {
  const Read got = read("HTTP/1.1 200 OK\r\n\r\nhello", 3, true);
  EXPECT_EQ(got.state, ResponseState::kComplete);
  EXPECT_EQ(got.body, "hello");
  EXPECT_FALSE(got.may_reuse);
}

TEST(ResponseParser, KnowsWhichAnswersHaveNoBodyAndWhichConnectionsRest) {
  constexpr std::string_view kHead = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
  EXPECT_EQ(read(kHead, 100, false, {.is_head_request = true}).state, ResponseState::kComplete);
  EXPECT_EQ(read("HTTP/1.1 204 No Content\r\n\r\n", 100, false).state, ResponseState::kComplete);
  EXPECT_FALSE(read("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", 100, false).may_reuse);
  EXPECT_FALSE(read("HTTP/1.1 204 No Content\r\n\r\nmore", 100, false).may_reuse) << "bytes came behind it";
}

TEST(ResponseParser, RefusesWhatIsTooBigOrNoHttp) {
  ResponseParser parser({.max_body_bytes = 4});
  parser.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(parser.state(), ResponseState::kFailed);
  EXPECT_TRUE(parser.is_too_big());
  EXPECT_EQ(read("SSH-2.0-OpenSSH_9.2\r\n", 100, false).state, ResponseState::kFailed);
  EXPECT_EQ(read("HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x'), 4096, false).state, ResponseState::kFailed);
}

}  // namespace
}  // namespace busbar::net

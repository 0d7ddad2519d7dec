#include "net/http.h"

#include <gtest/gtest.h>

#include "net/internal/base_url.h"
#include "net/internal/host_policy.h"
#include "net/internal/response_text.h"
#include "net/internal/target.h"

namespace busbar::net {
namespace {

TEST(HttpHeaders, AreFoundWithoutCase) {
  HttpHeaders headers = {{"Content-Type", "a"}, {"X", "1"}, {"x", "2"}};
  EXPECT_EQ(*find_header(headers, "content-type"), "a");
  EXPECT_EQ(find_header(headers, "content"), nullptr);
  set_header(headers, "x", "3");
  EXPECT_EQ(headers, (HttpHeaders{{"Content-Type", "a"}, {"x", "3"}}));
}

TEST(HttpHeaders, KnowTheTokensOfAList) {
  const HttpHeaders headers = {{"Connection", "keep-alive, Upgrade"}, {"Accept", "text/html;q=0.5, a/b"}};
  EXPECT_TRUE(header_has_token(headers, "connection", "upgrade"));
  EXPECT_TRUE(header_has_token(headers, "accept", "text/html"));
  EXPECT_FALSE(header_has_token(headers, "connection", "keep"));
}

TEST(HttpRequest, GivesTheBearerToken) {
  HttpRequest request;
  EXPECT_EQ(request.bearer_token(), "");
  request.headers = {{"authorization", "bearer  abc "}};
  EXPECT_EQ(request.bearer_token(), "abc");
  request.headers = {{"Authorization", "Basic abc"}};
  EXPECT_EQ(request.bearer_token(), "");
}

TEST(ErrorResponse, ComesBackAsTheSameError) {
  const Error error{
      .code = ErrorCode::kNoCapacity, .message = "no \"card\" is free", .cause = "8 of 8 used", .is_retryable = true};
  const HttpResponse response = error_response(error);
  EXPECT_EQ(response.status, http_status(ErrorCode::kNoCapacity));
  EXPECT_EQ(error_from_response(response), error);
}

TEST(ErrorResponse, OfAnotherServerIsReadByItsStatus) {
  const Error error = error_from_response({.status = 503, .headers = {}, .body = "<html>away</html>"});
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_TRUE(error.is_retryable);
  EXPECT_EQ(error.message, "the server answered 503 Service Unavailable");
  EXPECT_EQ(error.cause, "<html>away</html>");
  EXPECT_EQ(error_from_response({.status = 404}).code, ErrorCode::kNotFound);
}

TEST(Percent, EncodesAndDecodesEveryByte) {
  std::string all;
  for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(percent_decode(percent_encode(all)).value(), all);
  EXPECT_EQ(percent_encode("a/b c~"), "a%2Fb%20c~");
  EXPECT_EQ(percent_decode("a+b", PlusSign::kSpace).value(), "a b");
  EXPECT_EQ(percent_decode("a+b").value(), "a+b");
  for (const char* bad : {"%", "%4", "%4g", "%00", "a%zz"}) EXPECT_FALSE(percent_decode(bad)) << bad;
}

TEST(Target, IsTakenApart) {
  const auto target = parse_target("GET", "/v1/a%20b?x=1&x=2&flag&y=a%26b+c&&=z");
  ASSERT_TRUE(target.has_value());
  EXPECT_EQ(target->path, "/v1/a b");
  EXPECT_EQ(target->query, (std::vector<NameValue>{{"x", "1"}, {"x", "2"}, {"flag", ""}, {"y", "a&b c"}, {"", "z"}}));
  EXPECT_EQ(parse_target("OPTIONS", "*")->path, "*");
}

TEST(Target, RefusesWhatTwoReadersCouldReadDifferently) {
  for (const char* bad : {"", "*", "a", "http://a/", "example.com:443", "/a#b", "/a b", "/%", "/%00", "/a/../b", "/.",
                          "/%2e%2e/b", "/a/%2E", "/\x01", "/\x7f", "/\xc3\xa4", "/%ff", "/?a=%", "/?%00=a"}) {
    EXPECT_FALSE(parse_target("GET", bad)) << bad;
  }
  EXPECT_TRUE(parse_target("GET", "/..."));
}

TEST(Target, IsMadeFromPathAndQuery) {
  EXPECT_EQ(make_target("/v1/jobs", {}), "/v1/jobs");
  EXPECT_EQ(make_target("/v1/jobs", {{"state", "a b"}, {"x", "&"}}), "/v1/jobs?state=a%20b&x=%26");
}

TEST(HostPolicy, OfALoopbackServerRefusesOtherNames) {
  const HostPolicy policy("127.0.0.1", {});
  for (const char* good :
       {"localhost", "LOCALHOST:7370", "127.0.0.1", "127.0.0.9:1", "[::1]:80", "[::1]", "a.localhost", "localhost."}) {
    EXPECT_TRUE(policy.allows(good)) << good;
  }
  for (const char* bad : {"", "evil.example", "evil.example:7370", "localhost.evil.example", "127.0.0.1.evil.example",
                          "10.0.0.1", "[::2]", "0.0.0.0", "[", ":"}) {
    EXPECT_FALSE(policy.allows(bad)) << bad;
  }
}

TEST(HostPolicy, OfAnOpenServerTakesAnyNameUnlessToldOtherwise) {
  EXPECT_TRUE(HostPolicy("0.0.0.0", {}).allows("busbar.example"));
  const HostPolicy listed("0.0.0.0", {"Busbar.example"});
  EXPECT_TRUE(listed.allows("busbar.example:443"));
  EXPECT_FALSE(listed.allows("localhost"));
}

TEST(ResponseHead, CannotBeSplitByAHeadersValue) {
  const std::string head = format_head(200, {{"X", "a\r\nSet-Cookie: b"}, {"Content-Length", "7"}},
                                       {.content_length = 3, .is_last = true, .now = 784111777});
  EXPECT_EQ(head,
            "HTTP/1.1 200 OK\r\nX: a  Set-Cookie: b\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 3\r\n"
            "Connection: close\r\n\r\n");
}

TEST(BaseUrl, IsReadOrRefused) {
  EXPECT_EQ(parse_base_url("http://localhost:7370")->authority(), "localhost:7370");
  EXPECT_EQ(parse_base_url("https://[fe80::1]/api/")->authority(), "[fe80::1]:443");
  EXPECT_EQ(parse_base_url("https://a.example/api/")->prefix, "/api");
  EXPECT_EQ(parse_base_url("unix:/run/a.sock")->unix_path, "/run/a.sock");
  EXPECT_TRUE(parse_base_url("http://127.1.2.3")->is_local());
  EXPECT_FALSE(parse_base_url("http://a.example")->is_local());
  for (const char* bad : {"", "localhost:7370", "ftp://a", "http://", "http://a:b", "http://a:0", "http://a:65536",
                          "http://u@a", "http://a?b", "unix:run/a.sock"}) {
    EXPECT_FALSE(parse_base_url(bad)) << bad;
  }
}

}  // namespace
}  // namespace busbar::net

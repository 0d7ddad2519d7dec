#include "gateway/chunk_scanner.h"

#include <gtest/gtest.h>

#include <string>

namespace busbar::gateway {
namespace {

struct Walk {
  std::string payload = {};
  std::string trailers = {};
  std::size_t used = 0;
  bool is_done = false;
  bool is_broken = false;
  friend bool operator==(const Walk&, const Walk&) = default;
};

Walk walk(std::string_view bytes, std::size_t piece) {
  ChunkScanner scanner;
  Walk result;
  while (result.used < bytes.size() && !scanner.is_done() && !scanner.is_broken()) {
    const ChunkScanner::Piece step = scanner.step(bytes.substr(result.used, piece));
    result.used += step.bytes;
    result.payload += step.payload;
    result.trailers += step.trailers;
  }
  result.is_done = scanner.is_done();
  result.is_broken = scanner.is_broken();
  return result;
}

TEST(ChunkScanner, GivesTheContentHoweverItIsCut) {
  const std::string body = "5\r\nhello\r\n1;name=\"x\"\r\n!\r\n00\r\nTrailer: y\r\n\r\nnext";
  for (std::size_t piece = 1; piece <= body.size(); ++piece) {
    SCOPED_TRACE(piece);
    EXPECT_EQ(walk(body, piece),
              (Walk{.payload = "hello!", .trailers = "Trailer: y\r\n\r\n", .used = body.size() - 4, .is_done = true}));
  }
}

TEST(ChunkScanner, RefusesWhatIsNotStrictlyChunked) {
  for (const std::string body : {"\r\n", "5\nhello", "5\r\nhello\n", "5\r\nhelloX", "x\r\n", " 5\r\n", "5 \r\n",
                                 "-5\r\n", "0x5\r\n", "5;a\nb\r\n", "5;a\rb\r\n", "1234567890abcdef\r\n", "0\r\n\n",
                                 "0\r\nA: b\n\r\n", "0\r\n folded\r\n\r\n", "0\r\nA: \x01\r\n\r\n", ";a\r\n"}) {
    SCOPED_TRACE(body);
    EXPECT_TRUE(walk(body, 3).is_broken);
  }
  EXPECT_TRUE(walk("5;" + std::string(300, 'a') + "\r\n", 64).is_broken);
  EXPECT_TRUE(walk("0\r\n" + std::string(33'000, 'a') + "\r\n", 64).is_broken);
}

TEST(ChunkScanner, IsNeitherDoneNorBrokenBeforeTheEnd) {
  const std::string body = "3\r\nabc\r\n0\r\n\r\n";
  for (std::size_t size = 0; size < body.size(); ++size) {
    SCOPED_TRACE(size);
    const Walk result = walk(body.substr(0, size), 64);
    EXPECT_FALSE(result.is_done || result.is_broken);
    EXPECT_EQ(result.used, size);
  }
}

}  // namespace
}  // namespace busbar::gateway

#include "net/sse.h"

#include <gtest/gtest.h>

namespace busbar::net {
namespace {

using namespace std::string_view_literals;

std::vector<SseEvent> parse_in_pieces(std::string_view text, std::size_t piece) {
  SseParser parser;
  std::vector<SseEvent> events;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    EXPECT_TRUE(*parser.feed(text.substr(at, piece), [&](const SseEvent& event) {
      events.push_back(event);
      return true;
    }));
  }
  return events;
}

TEST(Sse, EventsComeBackWhateverTheirPieces) {
  const std::vector<SseEvent> events = {{.id = "1", .event = "decision", .data = "{\"a\":1}"},
                                        {.id = "1", .event = "", .data = "two\nlines\n"},
                                        {.id = "1", .event = "", .data = ""},
                                        {.id = "9", .event = "", .data = " leading blank: kept"}};
  std::string text;
  for (const SseEvent& event : events) text += format_sse(event) + ": comment\n\n";
  for (std::size_t piece = 1; piece < 20; ++piece) {
    SCOPED_TRACE(piece);
    EXPECT_EQ(parse_in_pieces(text, piece), events);
  }
}

TEST(Sse, LineEndsOfEveryKindAreOne) {
  const std::vector<SseEvent> wanted = {{.id = "", .event = "x", .data = "a\nb"}, {.id = "", .event = "", .data = "c"}};
  for (const char* text :
       {"event: x\ndata: a\ndata:b\n\ndata: c\n\n", "event: x\r\ndata: a\r\ndata:b\r\n\r\ndata: c\r\n\r\n",
        "event: x\rdata: a\rdata:b\r\rdata: c\r\r",
        "\xEF\xBB\xBF"
        "event: x\ndata: a\ndata:b\n\ndata: c\n\n"}) {
    for (std::size_t piece : {1, 2, 3, 100}) EXPECT_EQ(parse_in_pieces(text, piece), wanted) << text;
  }
}

TEST(Sse, AnEventCannotBreakOutOfItsField) {
  const std::string text = format_sse({.id = "1\ndata: x", .event = "a\r\nevent: b", .data = "x\r\ny\rz"});
  EXPECT_EQ(text, "id: 1data: x\nevent: aevent: b\ndata: x\ndata: y\ndata: z\n\n");
}

TEST(Sse, FieldsWithoutDataAreNoEvent) {
  EXPECT_TRUE(parse_in_pieces("event: x\n\nid: 4\n\nunknown: 1\n\n", 100).empty());
}

TEST(Sse, TheParserRemembersIdAndRetry) {
  SseParser parser;
  ASSERT_TRUE(
      parser.feed("retry: 1500\nid: 7\ndata\n\nretry: x\n\nid: a\0b\n\n"sv, [](const SseEvent&) { return true; }));
  EXPECT_EQ(parser.retry_ms(), 1500);
  EXPECT_EQ(parser.last_event_id(), "7");
}

TEST(Sse, TheCallbackCanStopTheParser) {
  SseParser parser;
  int count = 0;
  const auto result = parser.feed("data: 1\n\ndata: 2\n\n", [&](const SseEvent&) { return ++count < 1; });
  EXPECT_FALSE(*result);
  EXPECT_EQ(count, 1);
}

TEST(Sse, AnEndlessEventIsRefused) {
  SseParser parser;
  const std::string line = "data: " + std::string(1 << 20, 'x') + "\n";
  Result<bool> result = true;
  for (int i = 0; i < 20 && result; ++i) result = parser.feed(line, [](const SseEvent&) { return true; });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kResourceExhausted);
}

}  // namespace
}  // namespace busbar::net

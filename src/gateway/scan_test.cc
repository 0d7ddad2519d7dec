#include "gateway/internal/scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace busbar::gateway::internal {
namespace {

// Every size around the blocks of sixteen, every place, every byte: as a reader would do it one by one.
TEST(Scan, FindsTheFirstControlCharacterWhereverItStands) {
  for (std::size_t size = 0; size < 40; ++size) {
    for (std::size_t from = 0; from <= size; ++from) {
      for (std::size_t place = from; place <= size; ++place) {
        std::string text(size, 'a');
        std::fill(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(from), '\r');  // Before: does not count.
        if (place < size) text[place] = '\r';
        const char* const begin = text.data();
        ASSERT_EQ(find_control(begin, begin + from, begin + size) - begin, static_cast<std::ptrdiff_t>(place))
            << size << " from " << from;
      }
    }
  }
}

TEST(Scan, KnowsEveryByte) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const std::string text(20, c);
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    EXPECT_EQ(find_control(begin, begin, end) == begin, is_control(c)) << byte;
    EXPECT_EQ(find_token_end(begin, end) == end, is_token_character(c)) << byte;
    EXPECT_EQ(find_token_end(begin, end) == begin, !is_token_character(c)) << byte;
  }
}

TEST(Scan, EndsNamesAtTheFirstOtherCharacter) {
  for (std::size_t size = 0; size < 40; ++size) {
    for (std::size_t place = 0; place <= size; ++place) {
      for (const char filler : {'x', '9', '-', '_'}) {
        std::string text(size, filler);
        if (place < size) text[place] = ':';
        const char* const begin = text.data();
        ASSERT_EQ(find_token_end(begin, begin + size) - begin, static_cast<std::ptrdiff_t>(place)) << size << filler;
      }
    }
  }
}

TEST(Scan, FindsTheEmptyLineWhereverItStandsAndHoweverMuchWasSeen) {
  for (std::size_t size = 4; size < 60; ++size) {
    for (std::size_t place = 0; place + 4 <= size; ++place) {
      std::string text(size, 'a');
      if (place >= 6) text.replace(place - 6, 3, "\n\r\n");  // Nearly one.
      text.replace(place, 4, "\r\n\r\n");
      for (std::size_t from = 0; from <= place; ++from) {
        const char* const found = find_head_end(text, from);
        ASSERT_EQ(found, text.data() + place + 4) << size << " " << place << " " << from;
      }
      ASSERT_EQ(find_head_end(std::string_view(text).substr(0, place + 3), 0), nullptr) << size << " " << place;
    }
  }
}

}  // namespace
}  // namespace busbar::gateway::internal

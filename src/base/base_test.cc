#include <gtest/gtest.h>

#include <limits>
#include <unordered_set>

#include "base/binary.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/text.h"

namespace busbar {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) {
    return make_error(ErrorCode::kInvalidArgument, "odd");
  }
  return number / 2;
}

Result<int> quarter(int number) {
  TRY_ASSIGN(const int halved, half(number));
  TRY(half(halved));
  return halved / 2;
}

TEST(Error, NamesAreReadBackAsTheirCodes) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    SCOPED_TRACE(error_code_name(code));
    EXPECT_EQ(error_code_from_name(error_code_name(code)), code);
    EXPECT_GE(http_status(code), 400);
    EXPECT_GT(exit_code(code), 0);
  }
  EXPECT_EQ(error_code_from_name("no such"), ErrorCode::kInternal);
}

TEST(Error, ContextKeepsTheOldTextAsCause) {
  const Error inner{.code = ErrorCode::kNotFound, .message = "no file", .cause = "ENOENT", .is_retryable = true};
  const Error outer = with_context("cannot start", inner).value();
  EXPECT_EQ(outer.to_string(), "cannot start: no file: ENOENT");
  EXPECT_EQ(outer.code, ErrorCode::kNotFound);
  EXPECT_TRUE(outer.is_retryable);
}

TEST(Error, TryReturnsTheFirstFailure) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(7).error().message, "odd");
  EXPECT_EQ(quarter(6).error().message, "odd");
}

TEST(CheckDeathTest, PrintsConditionAndState) {
  EXPECT_DEATH(CHECK(1 > 2, "one is small"), "broken invariant: 1 > 2: one is small");
}

TEST(Id, KindsHashAndCompareByValue) {
  using ThingId = Id<struct ThingTag>;
  const std::unordered_set<ThingId> ids{ThingId{1}, ThingId{2}, ThingId{1}};
  EXPECT_EQ(ids.size(), 2u);
  EXPECT_FALSE(ThingId{}.is_valid());
  EXPECT_LT(ThingId{1}, ThingId{2});
}

TEST(FakeClock, MovesOnlyByHand) {
  FakeClock clock(1000);
  clock.advance_ms(5);
  EXPECT_EQ(clock.now_ms(), 1005);
  EXPECT_EQ(clock.monotonic_ns(), 1'005'000'000);
}

TEST(Hash, Crc32cMatchesTheVectorsOfRfc3720) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(crc32c(""), 0U);
}

TEST(Hash, Crc32cChainsOverPieces) {
  const std::string text = "the quick brown fox jumps over the lazy dog";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(crc32c(text.substr(cut), crc32c(text.substr(0, cut))), crc32c(text));
  }
}

TEST(Hash, StableHashNeverChanges) {
  // Journals hold these values: a change here breaks every stored state hash.
  EXPECT_EQ(stable_hash64(""), 0xe220a8397b1dcdafULL);
  EXPECT_EQ(stable_hash64("busbar"), stable_hash64("busbar", 0));
  EXPECT_NE(stable_hash64("busbar"), stable_hash64("busbar", 1));
  EXPECT_NE(stable_hash64("a"), stable_hash64(std::string_view("a\0", 2)));
  EXPECT_NE(stable_hash64("12345678"), stable_hash64("123456789"));
}

TEST(Binary, ReadsBackWhatWasWritten) {
  BinaryWriter writer;
  const std::int64_t numbers[] = {
      0, 1, -1, 127, 128, -128, std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()};
  for (const std::int64_t number : numbers) {
    writer.zigzag(number);
    writer.varint(static_cast<std::uint64_t>(number));
    writer.u64(static_cast<std::uint64_t>(number));
    writer.u32(static_cast<std::uint32_t>(number));
    writer.u8(static_cast<std::uint8_t>(number));
  }
  writer.text("héllo");
  writer.boolean(true);
  BinaryReader reader(writer.bytes());
  for (const std::int64_t number : numbers) {
    SCOPED_TRACE(number);
    EXPECT_EQ(reader.zigzag(), number);
    EXPECT_EQ(reader.varint(), static_cast<std::uint64_t>(number));
    EXPECT_EQ(reader.u64(), static_cast<std::uint64_t>(number));
    EXPECT_EQ(reader.u32(), static_cast<std::uint32_t>(number));
    EXPECT_EQ(reader.u8(), static_cast<std::uint8_t>(number));
  }
  EXPECT_EQ(reader.text(), "héllo");
  EXPECT_TRUE(reader.boolean());
  EXPECT_TRUE(reader.ok());
  EXPECT_TRUE(reader.at_end());
}

TEST(Binary, EveryShortTextFailsAndStaysFailed) {
  BinaryWriter writer;
  writer.u32(7);
  writer.text("abc");
  for (std::size_t size = 0; size < writer.bytes().size(); ++size) {
    BinaryReader reader(std::string_view(writer.bytes()).substr(0, size));
    reader.u32();
    reader.text();
    EXPECT_FALSE(reader.ok());
    EXPECT_EQ(reader.u8(), 0);
    EXPECT_FALSE(reader.ok());
  }
}

TEST(Binary, RefusesMalformedFields) {
  const std::string too_long(11, '\x80');
  const std::string too_large = std::string(9, '\xff') + "\x02";
  const std::string padded("\x81\x00", 2);
  for (const std::string& bytes : {too_long, too_large, padded}) {
    BinaryReader reader(bytes);
    EXPECT_EQ(reader.varint(), 0u);
    EXPECT_FALSE(reader.ok());
  }
  BinaryReader boolean("\x02");
  boolean.boolean();
  EXPECT_FALSE(boolean.ok());
  BinaryReader count("\x05xyz");
  EXPECT_EQ(count.count(), 0u);
  EXPECT_FALSE(count.ok());
}

TEST(Text, SplitsTrimsAndJoins) {
  EXPECT_EQ(split("a,b,,c", ','), (std::vector<std::string_view>{"a", "b", "", "c"}));
  EXPECT_EQ(split("", ','), (std::vector<std::string_view>{""}));
  EXPECT_EQ(trim(" \t a b \n"), "a b");
  EXPECT_EQ(trim("  "), "");
  const std::vector<std::string> parts{"a", "b"};
  EXPECT_EQ(join(parts, ", "), "a, b");
}

TEST(Text, ParseIntTakesTheWholeTextOnly) {
  EXPECT_EQ(parse_int("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
  for (const std::string_view bad : {"", "-", "+1", "1 ", " 1", "1x", "9223372036854775808", "0x1"}) {
    SCOPED_TRACE(bad);
    EXPECT_FALSE(parse_int(bad).has_value());
  }
}

TEST(Text, Utf8IsCheckedStrictly) {
  EXPECT_TRUE(is_valid_utf8("añ€😀"));
  for (const std::string_view bad : {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80", "\xff"}) {
    EXPECT_FALSE(is_valid_utf8(bad));
  }
  EXPECT_EQ(valid_utf8_prefix("ab\xff"), 2u);
}

TEST(Text, ShellQuoteKeepsWordsWhole) {
  EXPECT_EQ(shell_quote("a-b/c.d=1"), "a-b/c.d=1");
  EXPECT_EQ(shell_quote("a'b"), "'a'\\''b'");
  EXPECT_EQ(shell_quote(""), "''");
  EXPECT_EQ(shell_quote("$HOME x"), "'$HOME x'");
}

TEST(Text, NearestNameFindsWhatWasMeant) {
  const std::vector<std::string> names{"nodes", "resources", "restart", "run"};
  EXPECT_EQ(nearest_name("node", names), "nodes");
  EXPECT_EQ(nearest_name("ndoes", names), "nodes");
  EXPECT_EQ(nearest_name("Resource", names), "resources");
  EXPECT_EQ(nearest_name("rnu", names), "run");
  EXPECT_EQ(nearest_name("xyz", names), std::nullopt);
  EXPECT_EQ(nearest_name("", names), std::nullopt);
}

}  // namespace
}  // namespace busbar

#include "control/callers.h"

#include <gtest/gtest.h>

#include "os/crypto/crypto.h"
#include "os/system_clock.h"

namespace busbar::control {
namespace {

NewKey key_of(const std::string& text) {
  return {.text = text, .sha256 = os::sha256(text)};
}

TEST(Callers, AKeyHas256RandomBitsAndIsKeptByItsHashOnly) {
  os::SystemRandom random;
  const NewKey key = make_key_text(random);
  EXPECT_TRUE(key.text.starts_with("bbk_"));
  EXPECT_EQ(key.text.size(), 4U + 43U);
  EXPECT_EQ(key.sha256, os::sha256(key.text));
  EXPECT_NE(make_key_text(random).text, key.text);
  Callers callers;
  const auto made = callers.create({.name = "laptop", .services = {"chat"}, .requests = "10/s"}, key, "ada", 7);
  ASSERT_TRUE(made) << made.error().to_string();
  EXPECT_EQ(made->tenant, "ada");
  EXPECT_EQ(made->requests, "10/s");
  const CallerChanges changes = callers.take_changes();
  ASSERT_EQ(changes.rows.size(), 1U);
  EXPECT_EQ(changes.rows[0].record_json.find(key.text), std::string::npos);
  ASSERT_EQ(callers.routed_keys().size(), 1U);
  EXPECT_EQ(callers.routed_keys()[0].sha256, key.sha256);
}

TEST(Callers, ComeBackFromTheirRows) {
  Callers callers;
  ASSERT_TRUE(callers.create({.name = "a", .tenant = "research", .tokens = "5/m"}, key_of("one"), "ada", 3));
  ASSERT_TRUE(callers.put_tenant("research", {.weight = 4, .requests = "9/h"}));
  Callers next;
  ASSERT_TRUE(next.recover(callers.take_changes().rows));
  EXPECT_EQ(next.keys(), callers.keys());
  EXPECT_EQ(next.tenants(), callers.tenants());
  EXPECT_EQ(next.routed_tenants().at(0).weight, 4U);
  EXPECT_EQ(next.tenants().tenants.at(0).keys, 1U);
  EXPECT_FALSE(next.recover({{.kind = "key", .name = "x", .record_json = "{}"}}));
}

TEST(Callers, RevokesByIdOrByANameThatIsUnique) {
  Callers callers;
  const auto first = callers.create({.name = "a", .tenant = "one"}, key_of("1"), "ada", 0);
  ASSERT_TRUE(first);
  ASSERT_TRUE(callers.create({.name = "a", .tenant = "two"}, key_of("2"), "ada", 0));
  const auto twice = callers.create({.name = "a", .tenant = "two"}, key_of("3"), "ada", 0);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(callers.revoke("a").error().code, ErrorCode::kFailedPrecondition);
  callers.take_changes();
  EXPECT_TRUE(callers.revoke(first->id));
  EXPECT_EQ(callers.take_changes().removed, (std::vector<std::pair<std::string, std::string>>{{"key", first->id}}));
  EXPECT_TRUE(callers.revoke("a"));
  EXPECT_TRUE(callers.routed_keys().empty());
  EXPECT_EQ(callers.revoke("a").error().code, ErrorCode::kNotFound);
}

TEST(Callers, RefusesWhatMakesNoSense) {
  Callers callers;
  EXPECT_FALSE(callers.create({.name = ""}, key_of("1"), "ada", 0));
  EXPECT_FALSE(callers.create({.name = "a", .requests = "often"}, key_of("1"), "ada", 0));
  EXPECT_FALSE(callers.put_tenant("t", {.weight = 0}));
  EXPECT_FALSE(callers.put_tenant("a b", {}));
  EXPECT_FALSE(callers.remove_tenant("t"));
  EXPECT_TRUE(callers.take_changes().is_empty());
}

}  // namespace
}  // namespace busbar::control

#include "base/yaml.h"

#include <gtest/gtest.h>

namespace busbar {
namespace {

using Kind = YamlNode::Kind;

YamlError failure_of(std::string_view text) {
  const auto parsed = parse_yaml(text);
  return parsed ? YamlError{.position = {}, .message = "parsed"} : parsed.error();
}

/// Compact text of the tree, for comparisons.
std::string show(const YamlNode& node) {
  std::string text;
  switch (node.kind) {
    case Kind::kNull:
      return "null";
    case Kind::kScalar:
      return node.is_quoted ? "'" + node.scalar + "'" : node.scalar;
    case Kind::kSequence:
      for (const YamlNode& item : node.items) {
        text += (text.empty() ? "" : ",") + show(item);
      }
      return "[" + text + "]";
    case Kind::kMap:
      for (const YamlNode::Entry& entry : node.entries) {
        text += (text.empty() ? "" : ",") + entry.key + ":" + show(entry.value);
      }
      return "{" + text + "}";
  }
  return text;
}

std::string shown(std::string_view text) {
  const auto parsed = parse_yaml(text);
  return parsed ? show(*parsed) : "error: " + parsed.error().message;
}

TEST(Yaml, ScalarsStayText) {
  EXPECT_EQ(shown("a: 1\nb: 0-04:00:00\nc: yes\nd: 'null'\ne:\nf: ~\ng: |\n  x\n  y\nh: !!str 5\n"),
            "{a:1,b:0-04:00:00,c:yes,d:'null',e:null,f:null,g:'x\ny\n',h:'5'}");
}

TEST(Yaml, ReadsJsonToo) {
  EXPECT_EQ(shown(R"({"a": [1, "x", {"b": null}], "c": {}})"), "{a:[1,'x',{b:null}],c:{}}");
}

TEST(Yaml, RemembersWhereThingsStood) {
  const auto root = parse_yaml("name: a\nlist:\n  - one\n  - k: v\n");
  ASSERT_TRUE(root.has_value());
  EXPECT_EQ(root->entries[0].key_position, (TextPosition{1, 1}));
  EXPECT_EQ(root->entries[0].value.position, (TextPosition{1, 7}));
  const YamlNode* list = root->find("list");
  ASSERT_NE(list, nullptr);
  EXPECT_EQ(list->items[0].position, (TextPosition{3, 5}));
  EXPECT_EQ(list->items[1].entries[0].key_position, (TextPosition{4, 5}));
  EXPECT_EQ(root->find("absent"), nullptr);
}

TEST(Yaml, EmptyTextIsNull) {
  for (const std::string_view text : {"", "\n\n", "# only a comment\n", "---\n"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(shown(text), "null");
  }
}

TEST(Yaml, RefusesDuplicateKeysWithTheirPlace) {
  const YamlError failure = failure_of("a: 1\nb: 2\na: 3\n");
  EXPECT_EQ(failure.position, (TextPosition{3, 1}));
  EXPECT_EQ(failure.message, "key \"a\" is here twice");
  EXPECT_EQ(shown("{x: {a: 1}, y: {a: 2}}"), "{x:{a:1},y:{a:2}}");
}

TEST(Yaml, RefusesASecondDocument) {
  EXPECT_EQ(failure_of("a: 1\n---\nb: 2\n").position.line, 2);
  EXPECT_EQ(failure_of("{a: 1} b\n").message, "the document has ended; one document a file");
}

TEST(Yaml, RefusesKeysThatAreNotScalars) {
  for (const std::string_view bad : {"[a]: 1", "{a: 1}: 2", "? [a, b]\n: 1", "~: 1", ": 1"}) {
    SCOPED_TRACE(bad);
    EXPECT_EQ(failure_of(bad).message, "a key must be a plain word or text");
  }
}

TEST(Yaml, RefusesBrokenText) {
  for (const std::string_view bad : {"a: [1", "a: 'x", "a: b: c", "a: 1\n b: 2", "\ta: 1", "*x", "a: &x [*x]",
                                     "- a\nb: 1", "{a", "}", "%YAML 3.0\n---\na", "a: \"\\q\"", "\xff", "&a &b c"}) {
    SCOPED_TRACE(bad);
    EXPECT_NE(failure_of(bad).message, "parsed");
  }
  EXPECT_EQ(failure_of(std::string_view("a: 1\nb: \0", 9)).position, (TextPosition{2, 4}));
  EXPECT_EQ(failure_of("a: 1\nb: x\xff").position, (TextPosition{2, 5}));
}

TEST(Yaml, AliasesAreCopies) {
  EXPECT_EQ(shown("a: &x [1, 2]\nb: *x\nc: &k d\n*k : e\n"), "{a:[1,2],b:[1,2],c:d,d:e}");
}

TEST(Yaml, AliasesThatExplodeAreRefused) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string previous = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + previous;
    for (int j = 1; j < 10; ++j) {
      text += ", " + previous;
    }
    text += "]\n";
  }
  EXPECT_EQ(failure_of(text).message, "aliases expand to more than 10000 nodes");
}

TEST(Yaml, AliasesCannotNestDeeperThanTheLimit) {
  std::string text = "a0: &a0 [x]\n";
  for (int i = 1; i < 100; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  }
  EXPECT_EQ(failure_of(text).message, "nested deeper than 64");
}

TEST(Yaml, MergesKeepTheMapsOwnKeys) {
  EXPECT_EQ(shown("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n"), "{base:{x:1,y:2},use:{y:3,x:1}}");
  EXPECT_EQ(shown("- &a {x: 1}\n- &b {x: 2, z: 3}\n- {<<: [*a, *b], w: 0}\n"), "[{x:1},{x:2,z:3},{w:0,x:1,z:3}]");
  EXPECT_EQ(failure_of("a:\n  <<: 5\n").message, "<< takes a map or a list of maps");
}

TEST(Yaml, NestingIsLimitedWithoutUsingUpTheStack) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_yaml(nested(64)).has_value());
  EXPECT_EQ(failure_of(nested(65)).message, "nested deeper than 64");
  std::string dashes;
  std::string questions;
  for (int i = 0; i < 100'000; ++i) {
    dashes += "- ";
    questions += "? ";
  }
  for (const std::string& text : {std::string(500'000, '['), std::string(500'000, '{'), dashes, questions}) {
    EXPECT_NE(failure_of(text).message, "parsed");
  }
}

TEST(Yaml, HugeTextsAreRefused) {
  EXPECT_EQ(failure_of(std::string(2 << 20, 'a')).message, "longer than 1048576 bytes");
}

}  // namespace
}  // namespace busbar

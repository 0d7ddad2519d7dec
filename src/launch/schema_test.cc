#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "base/json.h"
#include "base/test_paths.h"
#include "base/text.h"
#include "base/yaml.h"
#include "launch/job_file.h"

namespace busbar::launch {
namespace {

namespace fs = std::filesystem;

/// YAML 1.2's core schema, as editors read a job file.
Json to_json(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return Json();
    case YamlNode::Kind::kSequence: {
      Json list = Json::array();
      for (const YamlNode& item : node.items) {
        list.push(to_json(item));
      }
      return list;
    }
    case YamlNode::Kind::kMap: {
      Json map = Json::object();
      for (const YamlNode::Entry& entry : node.entries) {
        map.set(entry.key, to_json(entry.value));
      }
      return map;
    }
    case YamlNode::Kind::kScalar:
      break;
  }
  if (node.is_quoted) {
    return Json(node.scalar);
  }
  if (const auto number = parse_int(node.scalar)) {
    return Json(*number);
  }
  return node.scalar == "true" || node.scalar == "false" ? Json(node.scalar == "true") : Json(node.scalar);
}

bool has_type(const Json& value, const std::string& type) {
  return (type == "string" && value.is_string()) || (type == "integer" && value.is_int()) ||
         (type == "number" && value.is_number()) || (type == "boolean" && value.is_bool()) ||
         (type == "array" && value.is_array()) || (type == "object" && value.is_object()) ||
         (type == "null" && value.is_null());
}

/// The part of JSON Schema that ours uses. CHECKs, by the last line, that there is no other.
bool matches(const Json& schema, const Json& value);

bool matches_keyword(const std::string& keyword, const Json& rule, const Json& schema, const Json& value) {
  if (keyword == "type") {
    if (rule.is_string()) {
      return has_type(value, rule.as_string());
    }
    return std::any_of(rule.items().begin(), rule.items().end(),
                       [&](const Json& type) { return has_type(value, type.as_string()); });
  }
  if (keyword == "anyOf") {
    return std::any_of(rule.items().begin(), rule.items().end(), [&](const Json& one) { return matches(one, value); });
  }
  if (keyword == "enum") {
    return std::find(rule.items().begin(), rule.items().end(), value) != rule.items().end();
  }
  if (keyword == "items") {
    return std::all_of(value.items().begin(), value.items().end(),
                       [&](const Json& item) { return matches(rule, item); });
  }
  if (keyword == "properties") {
    return std::all_of(value.members().begin(), value.members().end(), [&](const auto& member) {
      const Json* property = rule.find(member.first);
      return property == nullptr || matches(*property, member.second);
    });
  }
  if (keyword == "patternProperties") {
    // The one pattern there is: keys of the form "vendor.com/name".
    return rule.members().size() == 1 &&
           std::all_of(value.members().begin(), value.members().end(), [&](const auto& member) {
             return member.first.find('/') == std::string::npos || matches(rule.members()[0].second, member.second);
           });
  }
  if (keyword == "additionalProperties") {
    return std::all_of(value.members().begin(), value.members().end(), [&](const auto& member) {
      const bool is_known =
          schema["properties"].find(member.first) != nullptr ||
          (schema.find("patternProperties") != nullptr && member.first.find('/') != std::string::npos);
      return is_known || (rule.is_bool() ? rule.as_bool() : matches(rule, member.second));
    });
  }
  if (keyword == "minimum") {
    return !value.is_number() || value.as_double() >= rule.as_double();
  }
  if (keyword == "maximum") {
    return !value.is_number() || value.as_double() <= rule.as_double();
  }
  if (keyword == "minProperties") {
    return !value.is_object() || value.members().size() >= static_cast<std::size_t>(rule.as_int());
  }
  if (keyword == "maxProperties") {
    return !value.is_object() || value.members().size() <= static_cast<std::size_t>(rule.as_int());
  }
  const bool says_nothing =
      keyword == "description" || keyword == "title" || keyword == "$schema" || keyword == "pattern";
  EXPECT_TRUE(says_nothing) << "unknown keyword " << keyword;
  return says_nothing;
}

bool matches(const Json& schema, const Json& value) {
  return std::all_of(schema.members().begin(), schema.members().end(),
                     [&](const auto& member) { return matches_keyword(member.first, member.second, schema, value); });
}

Json schema() {
  auto parsed = parse_json(job_file_schema());
  EXPECT_TRUE(parsed);
  return parsed.value_or(Json());
}

Json document(const std::string& text) {
  const auto yaml = parse_yaml(text);
  EXPECT_TRUE(yaml) << text;
  return yaml ? to_json(*yaml) : Json();
}

TEST(Schema, SaysWhatItIs) {
  const Json whole = schema();
  EXPECT_EQ(whole["$schema"].as_string(), "https://json-schema.org/draft/2020-12/schema");
  for (const auto& [name, property] : whole["properties"].members()) {
    EXPECT_FALSE(property["description"].as_string().empty()) << name;
  }
}

void expect_documented(const Json& properties, const std::string& manual) {
  for (const auto& [name, property] : properties.members()) {
    EXPECT_NE(manual.find(name), std::string::npos) << name << " is not in docs/job-file.md";
    expect_documented(property["properties"], manual);
    for (const Json& form : property["anyOf"].items()) {
      expect_documented(form["properties"], manual);
      expect_documented(form["items"]["properties"], manual);
    }
  }
}

TEST(Schema, EveryFieldAndAliasIsInTheManual) {
  std::ifstream stream(fs::path(BUSBAR_SOURCE_DIR) / "docs" / "job-file.md");
  std::ostringstream manual;
  manual << stream.rdbuf();
  const Json whole = schema();
  expect_documented(whole["properties"], manual.str());
}

TEST(Schema, AcceptsTheExamples) {
  const Json whole = schema();
  for (const auto& entry : fs::directory_iterator(fs::path(BUSBAR_SOURCE_DIR) / "examples")) {
    if (entry.path().extension() == ".yaml") {
      std::ifstream stream(entry.path());
      std::ostringstream text;
      text << stream.rdbuf();
      EXPECT_TRUE(matches(whole, document(text.str()))) << entry.path();
    }
  }
}

TEST(Schema, AgreesWithTheParser) {
  const Json whole = schema();
  for (const char* text :
       {"run: x", "run: [a, b]", "run: x\nnodes: 2..8", "run: x\nenv: [A=1]", "run: x\nrestart: 3",
        "run: x\nrestart: {max: 3, on: user}", "run: x\ncheckpoint: /a", "run: x\nports: {http: 80}",
        "run: x\nports: [80, http]", "run: x\nsecrets: {A: b}", "run: x\nvolumes: [{source: /a, target: /b}]",
        "run: x\nnum_nodes: 2", "run: x\nresources: {accelerators: {H100: 8}}",
        "run: x\nresources: {nvidia.com/gpu: 8}",
        "run: x\nresources: {accelerators: 1, min_card_memory: 40GiB, min_card_link: 600}",
        "run: x\nresources: {nvidia.com/gpu: [8]}", "run: x\nslurm_environment: true",
        // And what both refuse.
        "run: x\ncolour: red", "run: x\nresources: {memroy: 1}", "run: {a: b}", "run: x\nlauncher: deepspeed",
        "run: x\nprocs_per_node: 0", "run: x\ntopology: {required: rack}", "run: x\ndatasets: [a]",
        "run: x\nrestart: {max: -1}", "run: x\nenv: {A: {b: c}}", "run: x\nnodes: [1]"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(matches(whole, document(text)), parse_job_file(text, {}, "/jobs").is_valid);
  }
}

}  // namespace
}  // namespace busbar::launch

#include "api/types.h"

#include <gtest/gtest.h>

#include "api/internal/tables.h"
#include "api/routes.h"

namespace busbar::api {
namespace {

/// What a schema of the OpenAPI document allows, with every key set and no value twice, so that a reader or a writer
/// that drops one or takes another's is seen.
class Sampler {
 public:
  Json of(const Json& schema) {
    if (const Json* const reference = schema.find("$ref"); reference != nullptr) {
      const std::string& path = reference->as_string();
      return of(schemas_[path.substr(path.rfind('/') + 1)]);
    }
    const std::string type = schema["type"].as_string();
    if (type == "object") return object(schema);
    if (type == "array") return Json::array({of(schema["items"]), of(schema["items"])});
    if (type == "boolean") return true;
    if (type == "integer") return next_++;
    if (type == "number") return next_++ + 0.25;
    if (type.empty()) return Json::object({{"any", next_++}});
    if (schema.find("enum") != nullptr) return schema["enum"].items().back();
    return "text \"" + std::to_string(next_++) + "\" \n\u00e9";
  }
  Json component(const std::string& name) { return of(schemas_[name]); }

 private:
  Json object(const Json& schema) {
    Json json = Json::object();
    for (const auto& [name, property] : schema["properties"].members()) json.set(name, of(property));
    if (const Json* const values = schema.find("additionalProperties"); values != nullptr) {
      for (const char* const name : {"b", "a"}) json.set(name, of(*values));
    }
    return json;
  }

  const Json schemas_ = openapi("")["components"]["schemas"];
  int next_ = 1;
};

template <class T>
void expect_round_trip() {
  const std::string name(internal::table_of<T>().name);
  SCOPED_TRACE(name);
  const Json sample = Sampler().component(name);
  const auto value = from_json<T>(*parse_json(sample.dump()));
  ASSERT_TRUE(value) << value.error().to_string();
  EXPECT_EQ(to_json(*value).dump(), sample.dump());
  EXPECT_EQ(*from_json<T>(to_json(*value)), *value);

  const auto empty = from_json<T>(to_json(T{}));
  ASSERT_TRUE(empty) << empty.error().to_string();
  EXPECT_EQ(*empty, T{});
  EXPECT_EQ(*from_json<T>(Json::object()), T{}) << "absent keys give defaults";
}

#define EXPECT_ROUND_TRIP(Type) expect_round_trip<Type>();
TEST(ApiTypes, EveryTypeSurvivesItsJson){BUSBAR_API_TYPES(EXPECT_ROUND_TRIP)}
#undef EXPECT_ROUND_TRIP

TEST(ApiTypes, OptionalsWithoutValueAndNullJsonAreLeftOut) {
  const Json json = to_json(JobStatus{});
  EXPECT_EQ(json.find("exit_code"), nullptr);
  EXPECT_EQ(json.find("array_index"), nullptr);
  EXPECT_EQ(json.find("spec"), nullptr);
  EXPECT_NE(json.find("attempts"), nullptr);
  EXPECT_EQ(json["state"].as_string(), "queued");
}

TEST(ApiTypes, NullReadsAsAnAbsentOptional) {
  const auto job = from_json<JobStatus>(Json::object({{"exit_code", nullptr}}));
  ASSERT_TRUE(job);
  EXPECT_EQ(job->exit_code, std::nullopt);
}

TEST(ApiTypes, UnknownKeysAreIgnoredByReadersAndRefusedByStrictOnes) {
  const Json json = Json::object({{"file", "run: true"}, {"colour", "red"}});
  ASSERT_TRUE(from_json<SubmitRequest>(json));
  const auto strict = from_json_strict<SubmitRequest>(json);
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(strict.error().message, "unknown key \"colour\" in SubmitRequest");
}

TEST(ApiTypes, WrongTypesNameTheField) {
  struct Row {
    Json json;
    const char* text;
  };
  const Row rows[] = {
      {Json::object({{"nodes", "many"}}), "JobStatus.nodes: expected an integer"},
      {Json::object({{"nodes", -1}}), "JobStatus.nodes: expected an integer from 0 to 4294967295"},
      {Json::object({{"state", "asleep"}}), "JobStatus.state: expected a job state"},
      {Json::object({{"node_names", Json::array({"a", 1})}}), "JobStatus.node_names: item 1: expected a text"},
      {Json::object({{"progress", Json::object({{"metrics", Json::object({{"a", "x"}})}})}}),
       "JobStatus.progress: ProgressStatus.metrics: a: expected a number"},
      {Json::array(), "expected an object (JobStatus)"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.json.dump());
    const auto job = from_json<JobStatus>(row.json);
    ASSERT_FALSE(job);
    EXPECT_EQ(job.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(job.error().to_string(), row.text);
  }
}

TEST(ApiTypes, AnErrorBodyKeepsCodeCauseAndDiagnostics) {
  const ErrorBody body{
      .error = {.code = ErrorCode::kInfeasible, .message = "too big", .cause = "4 cards", .is_retryable = true},
      .diagnostics = {Diagnostic{.line = 3, .column = 5, .field = "nodes", .message = "no"}}};
  const ErrorBody back = error_body_from_json(to_json(body), 422);
  EXPECT_EQ(back.error, body.error);
  EXPECT_EQ(back.diagnostics, body.diagnostics);
}

TEST(ApiTypes, AForeignErrorBodyGivesTheCodeNearestToTheStatus) {
  EXPECT_EQ(error_body_from_json(Json("<html>"), 404).error.code, ErrorCode::kNotFound);
  EXPECT_EQ(error_body_from_json(Json(), 502).error.code, ErrorCode::kUnavailable);
  EXPECT_EQ(error_body_from_json(Json(), 418).error.code, ErrorCode::kInternal);
  EXPECT_EQ(error_body_from_json(Json(), 502).error.message, "the server answered with status 502");
}

}  // namespace
}  // namespace busbar::api

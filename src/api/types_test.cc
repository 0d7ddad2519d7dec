#include "api/types.h"

#include <gtest/gtest.h>

#include "api/internal/tables.h"

namespace busbar::api {
namespace {

/// Gives every field of a value something other than its default, so that a round trip that drops one is seen.
struct Filler {
  int next = 1;

  void fill(bool& value) { value = true; }
  void fill(double& value) { value = next++ + 0.25; }
  void fill(std::string& value) { value = "text \"" + std::to_string(next++) + "\" \n\u00e9"; }
  void fill(Json& value) { value = Json::object({{"any", next++}}); }
  void fill(model::JobState& value) { value = model::JobState::kStopping; }
  template <std::integral V>
  void fill(V& value) {
    value = static_cast<V>(next++);
  }
  template <class Tag>
  void fill(Id<Tag>& value) {
    value.value = static_cast<std::uint64_t>(next++);
  }
  template <class V>
  void fill(std::optional<V>& value) {
    fill(value.emplace());
  }
  template <class V>
  void fill(std::vector<V>& value) {
    value.resize(2);
    for (V& item : value) {
      fill(item);
    }
  }
  template <class V>
  void fill(std::pair<std::string, V>& value) {
    fill(value.first);
    fill(value.second);
  }
  template <internal::HasTable T>
  void fill(T& value) {
    internal::for_each_field<T>([&](const auto& field) { fill(value.*field.member); });
  }
};

template <class T>
void expect_round_trip() {
  SCOPED_TRACE(internal::Table<T>::kName);
  T value;
  Filler{}.fill(value);
  const auto parsed = parse_json(to_json(value).dump());
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  const auto back = from_json<T>(*parsed);
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_EQ(*back, value);

  const auto empty = from_json<T>(to_json(T{}));
  ASSERT_TRUE(empty) << empty.error().to_string();
  EXPECT_EQ(*empty, T{});
  EXPECT_EQ(*from_json<T>(Json::object()), T{}) << "absent keys give defaults";
}

TEST(ApiTypes, EveryTypeSurvivesItsJson) {
  expect_round_trip<Diagnostic>();
  expect_round_trip<SubmitRequest>();
  expect_round_trip<TaskStatus>();
  expect_round_trip<AttemptStatus>();
  expect_round_trip<ProgressStatus>();
  expect_round_trip<EfficiencyStatus>();
  expect_round_trip<JobStatus>();
  expect_round_trip<ReplicaStatus>();
  expect_round_trip<ServiceStatus>();
  expect_round_trip<ServiceList>();
  expect_round_trip<SubmitAnswer>();
  expect_round_trip<JobList>();
  expect_round_trip<ChangeStatus>();
  expect_round_trip<WhyAnswer>();
  expect_round_trip<CardStatus>();
  expect_round_trip<NodeStatus>();
  expect_round_trip<NodeList>();
  expect_round_trip<CardList>();
  expect_round_trip<QueueRequest>();
  expect_round_trip<QueueStatus>();
  expect_round_trip<QueueList>();
  expect_round_trip<QueueDiffRequest>();
  expect_round_trip<JobChange>();
  expect_round_trip<QueueDiff>();
  expect_round_trip<UsageRow>();
  expect_round_trip<UsageList>();
  expect_round_trip<WhenAnswer>();
  expect_round_trip<ReservationRequest>();
  expect_round_trip<ReservationStatus>();
  expect_round_trip<ReservationList>();
  expect_round_trip<EventStatus>();
  expect_round_trip<EventList>();
  expect_round_trip<KeyRequest>();
  expect_round_trip<KeyStatus>();
  expect_round_trip<KeyList>();
  expect_round_trip<TenantRequest>();
  expect_round_trip<TenantStatus>();
  expect_round_trip<TenantList>();
  expect_round_trip<SecretStatus>();
  expect_round_trip<SecretList>();
  expect_round_trip<LogLine>();
  expect_round_trip<ServerStatus>();
}

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

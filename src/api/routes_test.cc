#include "api/routes.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/text.h"

namespace busbar::api {
namespace {

constexpr int kOperations = static_cast<int>(Operation::kBackup) + 1;

TEST(ApiRoutes, EveryOperationHasExactlyOneRoute) {
  std::multiset<int> seen;
  std::set<std::string> places;
  for (const Route& route : routes()) {
    seen.insert(static_cast<int>(route.operation));
    EXPECT_TRUE(places.insert(std::string(route.method) + " " + std::string(route.path)).second) << route.path;
  }
  for (int i = 0; i < kOperations; ++i) {
    EXPECT_EQ(seen.count(i), 1U) << "operation " << i;
  }
}

TEST(ApiRoutes, EveryNameInAPathIsAParameterOfIt) {
  for (const Route& route : routes()) {
    SCOPED_TRACE(route.path);
    std::set<std::string> in_path;
    for (const std::string_view segment : split(route.path, '/')) {
      if (segment.starts_with('{')) {
        in_path.insert(std::string(segment.substr(1, segment.size() - 2)));
      }
    }
    std::set<std::string> declared;
    for (const Parameter& parameter : route.parameters) {
      if (parameter.is_in_path) {
        declared.insert(std::string(parameter.name));
      }
    }
    EXPECT_EQ(declared, in_path);
  }
}

TEST(ApiRoutes, OnlyHealthAndDescriptionsAreOpenToAll) {
  for (const Route& route : routes()) {
    const bool is_open = route.operation == Operation::kHealth || route.operation == Operation::kReady ||
                         route.operation == Operation::kOpenApi || route.operation == Operation::kJobSchema;
    EXPECT_EQ(route.needs_token, !is_open) << route.path;
  }
}

TEST(OpenApi, CoversEveryRoute) {
  const Json document = openapi("1.2.3");
  EXPECT_EQ(document["openapi"].as_string(), "3.1.0");
  EXPECT_EQ(document["info"]["version"].as_string(), "1.2.3");
  std::set<std::string> ids;
  for (const Route& route : routes()) {
    SCOPED_TRACE(route.path);
    const Json& operation = document["paths"][route.path][to_lower(route.method)];
    ASSERT_TRUE(operation.is_object());
    EXPECT_EQ(operation["summary"].as_string(), route.summary);
    EXPECT_EQ(operation["parameters"].items().size(), route.parameters.size());
    EXPECT_EQ(operation["responses"].members().size(), 2U);
    EXPECT_EQ(operation.find("security") != nullptr, !route.needs_token);
    EXPECT_TRUE(ids.insert(operation["operationId"].as_string()).second);
  }
}

void check_references(const Json& json, const Json& document) {
  for (const Json& item : json.items()) {
    check_references(item, document);
  }
  for (const auto& [key, value] : json.members()) {
    if (key == "$ref") {
      const std::string_view name =
          std::string_view(value.as_string()).substr(std::string("#/components/schemas/").size());
      EXPECT_TRUE(document["components"]["schemas"][name].is_object()) << value.as_string();
    }
    check_references(value, document);
  }
}

TEST(OpenApi, EveryReferenceResolves) {
  const Json document = openapi("0");
  check_references(document, document);
  EXPECT_EQ(document["components"]["schemas"]["JobStatus"]["properties"]["progress"]["$ref"].as_string(),
            "#/components/schemas/ProgressStatus");
}

TEST(OpenApi, DescribesEventStreamsAndWebSockets) {
  const Json document = openapi("0");
  const Json& logs = document["paths"]["/v1/jobs/{job}/logs"]["get"]["responses"]["200"]["content"];
  EXPECT_EQ(logs["text/event-stream"]["x-events"]["line"]["$ref"].as_string(), "#/components/schemas/LogLine");
  const Json& events = document["paths"]["/v1/events"]["get"]["responses"]["200"]["content"];
  EXPECT_TRUE(events["application/json"].is_object());
  EXPECT_TRUE(events["text/event-stream"].is_object());
  const Json& exec = document["paths"]["/v1/jobs/{job}/exec"]["get"]["responses"]["101"];
  EXPECT_EQ(exec["x-frames"].items().size(), 8U);
  EXPECT_TRUE(document["paths"]["/v1/secrets/{secret}"]["put"]["responses"]["200"].is_object());
}

TEST(OpenApi, RequestsAskOnlyForWhatTheyNeed) {
  const Json document = openapi("0");
  const Json& submit = document["components"]["schemas"]["SubmitRequest"];
  ASSERT_EQ(submit["required"].items().size(), 1U);
  EXPECT_EQ(submit["required"].items()[0].as_string(), "file");
  EXPECT_EQ(document["components"]["securitySchemes"]["token"]["scheme"].as_string(), "bearer");
}

}  // namespace
}  // namespace busbar::api

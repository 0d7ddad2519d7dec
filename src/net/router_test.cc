#include "net/router.h"

#include <gtest/gtest.h>

namespace busbar::net {
namespace {

using Outcome = RouteMatch::Outcome;

enum Route { kJobs, kSubmit, kJob, kDeleteJob, kLogs, kSelf, kFiles, kRoot, kWatch };

Router make_router() {
  Router router;
  router.add("GET", "/", kRoot);
  router.add("GET", "/v1/jobs", kJobs);
  router.add("POST", "/v1/jobs", kSubmit);
  router.add("GET", "/v1/jobs/{id}", kJob);
  router.add("DELETE", "/v1/jobs/{id}", kDeleteJob);
  router.add("GET", "/v1/jobs/{id}/logs", kLogs);
  router.add("GET", "/v1/jobs/self", kSelf);
  router.add("GET", "/v1/jobs/watch/all", kWatch);
  router.add("GET", "/ui/{file...}", kFiles);
  return router;
}

TEST(Router, FindsTheMostLiteralRoute) {
  const Router router = make_router();
  const struct {
    const char* path;
    int route;
    std::vector<NameValue> parameters;
  } kCases[] = {
      {"/", kRoot, {}},
      {"/v1/jobs", kJobs, {}},
      {"/v1/jobs/17", kJob, {{"id", "17"}}},
      {"/v1/jobs/self", kSelf, {}},
      {"/v1/jobs/self/logs", kLogs, {{"id", "self"}}},
      {"/v1/jobs/watch/all", kWatch, {}},
      {"/v1/jobs/watch/logs", kLogs, {{"id", "watch"}}},
      {"/v1/jobs/a%2Fb%20c/logs", kLogs, {{"id", "a/b c"}}},
      {"/ui/js/app.js", kFiles, {{"file", "js/app.js"}}},
  };
  for (const auto& one : kCases) {
    SCOPED_TRACE(one.path);
    const RouteMatch match = router.match("GET", one.path);
    EXPECT_EQ(match.outcome, Outcome::kFound);
    EXPECT_EQ(match.route, one.route);
    EXPECT_EQ(match.parameters, one.parameters);
  }
}

TEST(Router, DoesNotFindWhatIsNotThere) {
  const Router router = make_router();
  for (const char* path : {"", "*", "/v1", "/v1/jobs/", "/v1/jobs//logs", "/v1/jobs/1/logs/", "/ui/", "/ui", "//"}) {
    EXPECT_EQ(router.match("GET", path).outcome, Outcome::kNotFound) << path;
  }
}

TEST(Router, TellsAWrongMethodFromAWrongPath) {
  const Router router = make_router();
  const RouteMatch match = router.match("PUT", "/v1/jobs");
  EXPECT_EQ(match.outcome, Outcome::kMethodNotAllowed);
  EXPECT_EQ(match.allow, "GET, HEAD, OPTIONS, POST");
  const HttpResponse response = unrouted_response(match, {.method = "PUT", .path = "/v1/jobs"});
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.header("allow"), match.allow);
  EXPECT_EQ(unrouted_response(router.match("GET", "/x"), {}).status, 404);
}

TEST(Router, AnswersHeadByGetAndOptionsByAllow) {
  const Router router = make_router();
  EXPECT_EQ(router.match("HEAD", "/v1/jobs").route, kJobs);
  const RouteMatch options = router.match("OPTIONS", "/v1/jobs/3");
  EXPECT_EQ(options.outcome, Outcome::kOptions);
  const HttpResponse response = unrouted_response(options, {});
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.header("Allow"), "DELETE, GET, HEAD, OPTIONS");
}

TEST(RouterDeathTest, RefusesPatternsThatCannotWork) {
  Router router = make_router();
  EXPECT_DEATH(router.add("GET", "/v1/jobs", 99), "");
  EXPECT_DEATH(router.add("GET", "v1", 99), "");
  EXPECT_DEATH(router.add("GET", "/v1/jobs/{name}/x", 99), "");
  EXPECT_DEATH(router.add("GET", "/a/{rest...}/b", 99), "");
}

}  // namespace
}  // namespace busbar::net

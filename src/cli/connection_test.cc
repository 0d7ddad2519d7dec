#include "cli/connection.h"

#include <gtest/gtest.h>

#include <map>

namespace busbar::cli {
namespace {

/// A machine's environment and files.
struct Machine {
  std::map<std::string, std::string> variables = {{"HOME", "/home/ada"}};
  std::map<std::string, std::string> files = {};
  GlobalOptions global = {};
  bool is_root = false;

  Result<Endpoint> resolve() const {
    const Environment environment = [this](const char* name) {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    const FileReader reader = [this](const std::string& path) {
      const auto found = files.find(path);
      return found == files.end() ? std::nullopt : std::optional(found->second);
    };
    return resolve_endpoint({.global = global, .environment = environment, .read_file = reader, .is_root = is_root});
  }
};

constexpr const char* kServerFile = R"({"url": "http://127.0.0.1:9000", "token_file": "/s/own-token", "pid": 5})";

TEST(Connection, TheDefaultIsLoopbackWithTheTokenOfTheStateDirectory) {
  Machine machine;
  machine.files["/home/ada/.local/state/busbar/token"] = "secret\n";
  const auto endpoint = machine.resolve();
  ASSERT_TRUE(endpoint);
  EXPECT_EQ(endpoint->url, "http://127.0.0.1:7717");
  EXPECT_EQ(endpoint->url_source, "default");
  EXPECT_EQ(endpoint->token, "secret");
}

TEST(Connection, StateDirectoriesWinInTheDocumentedOrder) {
  Machine machine;
  machine.is_root = true;
  EXPECT_EQ(machine.resolve()->state_dir, "/var/lib/busbar");
  machine.is_root = false;
  EXPECT_EQ(machine.resolve()->state_dir, "/home/ada/.local/state/busbar");
  machine.variables["XDG_STATE_HOME"] = "/x";
  EXPECT_EQ(machine.resolve()->state_dir, "/x/busbar");
  machine.variables["BUSBAR_STATE_DIR"] = "/y";
  EXPECT_EQ(machine.resolve()->state_dir, "/y");
  machine.global.state_dir = "/z";
  EXPECT_EQ(machine.resolve()->state_dir, "/z");
}

TEST(Connection, AddressesWinInTheDocumentedOrder) {
  Machine machine;
  machine.variables["BUSBAR_STATE_DIR"] = "/s";
  machine.files["/s/server.json"] = kServerFile;
  EXPECT_EQ(machine.resolve()->url, "http://127.0.0.1:9000");
  machine.variables["BUSBAR_SERVER"] = "https://pool.example/";
  EXPECT_EQ(machine.resolve()->url, "https://pool.example");
  machine.global.server = "unix:/run/busbar.sock";
  EXPECT_EQ(machine.resolve()->url, "unix:/run/busbar.sock");
  EXPECT_EQ(machine.resolve()->url_source, "--server");
}

TEST(Connection, TokensWinInTheDocumentedOrder) {
  Machine machine;
  machine.variables["BUSBAR_STATE_DIR"] = "/s";
  machine.files = {{"/s/server.json", kServerFile}, {"/s/token", "dir"}, {"/f", "file\n"}};
  EXPECT_EQ(machine.resolve()->token, "dir");
  machine.files["/s/own-token"] = "own";
  EXPECT_EQ(machine.resolve()->token, "own");
  machine.variables["BUSBAR_TOKEN_FILE"] = "/f";
  EXPECT_EQ(machine.resolve()->token, "file");
  machine.variables["BUSBAR_TOKEN"] = "variable";
  EXPECT_EQ(machine.resolve()->token, "variable");
  machine.global.token = "flag";
  EXPECT_EQ(machine.resolve()->token, "flag");
}

TEST(Connection, TheLocalTokenNeverGoesToAnotherMachine) {
  Machine machine;
  machine.variables["BUSBAR_STATE_DIR"] = "/s";
  machine.files = {{"/s/server.json", kServerFile}, {"/s/token", "dir"}};
  for (const char* url :
       {"http://pool.example:7717", "https://127.0.0.1.evil.example", "http://10.0.0.1", "http://[2001:db8::1]:80"}) {
    machine.global.server = url;
    EXPECT_EQ(machine.resolve()->token, "") << url;
  }
  for (const char* url : {"http://127.0.0.1:1", "http://localhost:7717", "http://[::1]:7717", "unix:/x"}) {
    machine.global.server = url;
    EXPECT_EQ(machine.resolve()->token, "dir") << url;
  }
}

TEST(Connection, BadAddressesAndTokenFilesAreErrors) {
  Machine machine;
  machine.global.server = "pool:7717";
  EXPECT_EQ(machine.resolve().error().code, ErrorCode::kInvalidArgument);
  machine.global.server = "";
  machine.variables["BUSBAR_TOKEN_FILE"] = "/missing";
  EXPECT_EQ(machine.resolve().error().message, "BUSBAR_TOKEN_FILE /missing cannot be read");
}

TEST(Connection, AHalfWrittenServerFileCountsAsNone) {
  Machine machine;
  machine.variables["BUSBAR_STATE_DIR"] = "/s";
  machine.files["/s/server.json"] = R"({"url": "http://127)";
  EXPECT_EQ(machine.resolve()->url_source, "default");
}

TEST(Connection, TargetsAreEncoded) {
  EXPECT_EQ(job_target("a/b c", "/logs", {{"task", "1"}}), "/v1/jobs/a%2Fb%20c/logs?task=1");
  EXPECT_EQ(api_target("/v1/jobs"), "/v1/jobs");
}

}  // namespace
}  // namespace busbar::cli

#include "control/config.h"

#include <gtest/gtest.h>

#include "control/internal/golden_section.h"

namespace busbar::control {
namespace {

ConfigSources user_sources() {
  return {.environment = {{"HOME", "/home/ada"}}};
}

ConfigSources file_sources(std::string text) {
  ConfigSources sources = user_sources();
  sources.file_text = std::move(text);
  sources.file_name = "b.toml";
  return sources;
}

ServerConfig load_or_die(const ConfigSources& sources) {
  auto config = load_config(sources);
  EXPECT_TRUE(config.has_value()) << config.error().to_string();
  return config.value_or(ServerConfig{});
}

std::string message_of(const ConfigSources& sources) {
  const auto config = load_config(sources);
  if (config) {
    return "accepted";
  }
  EXPECT_EQ(config.error().code, ErrorCode::kInvalidArgument);
  return config.error().message;
}

TEST(Config, DefaultsNeedNothingButAHome) {
  const ServerConfig config = load_or_die(user_sources());
  EXPECT_EQ(config.listen_address, "127.0.0.1");
  EXPECT_EQ(config.port, 7717);
  EXPECT_EQ(config.state_dir, "/home/ada/.local/state/busbar");
  EXPECT_EQ(config.run_dir, "/home/ada/.local/state/busbar/run");
  EXPECT_EQ(config.oci_cache_dir, "/home/ada/.local/state/busbar/oci");
}

TEST(Config, RootAndXdgHaveTheirOwnDirectories) {
  const ServerConfig system = load_or_die({.is_root = true});
  EXPECT_EQ(system.state_dir, "/var/lib/busbar");
  EXPECT_EQ(system.run_dir, "/run/busbar");

  ConfigSources xdg = user_sources();
  xdg.environment["XDG_STATE_HOME"] = "/data/state";
  EXPECT_EQ(load_or_die(xdg).state_dir, "/data/state/busbar");
}

TEST(Config, ASecondServerOfRootDoesNotShareTheRunDirectory) {
  EXPECT_EQ(load_or_die({.overrides = {"state_dir=/srv/b"}, .is_root = true}).run_dir, "/srv/b/run");
}

TEST(Config, FlagsWinOverEnvironmentOverFileOverDefaults) {
  ConfigSources sources = file_sources("port = 1\nlog_level = \"debug\"\nauth = \"none\"\n");
  sources.environment["BUSBAR_PORT"] = "2";
  sources.environment["BUSBAR_LOG_LEVEL"] = "error";
  sources.overrides = {"port=3", "port=4"};
  const ServerConfig config = load_or_die(sources);
  EXPECT_EQ(config.port, 4);
  EXPECT_EQ(config.log_level, "error");
  EXPECT_EQ(config.auth, "none");
  EXPECT_EQ(config.synchronous, "full");
}

TEST(Config, ReadsEveryKindOfValue) {
  const ServerConfig config = load_or_die(file_sources(R"(
max_body = "2MiB"
log_max_size = 131072
shutdown_grace = 7
allowed_hosts = ["a.example", "b.example"]
runtime = "crun"
[[queues]]
name = "vision"
limit = 12.5
priority = -3
[[queues]]
name = "open"
)"));
  EXPECT_EQ(config.max_body_bytes, 2 << 20);
  EXPECT_EQ(config.log_max_bytes, 131072);
  EXPECT_EQ(config.shutdown_grace_ms, 7'000);
  EXPECT_EQ(config.allowed_hosts, (std::vector<std::string>{"a.example", "b.example"}));
  EXPECT_EQ(config.runtime, "crun");
  const std::vector<model::Queue> expected = {{.name = "vision", .limit = {12'500}, .priority = -3}, {.name = "open"}};
  EXPECT_EQ(config.queues, expected);
}

TEST(Config, ListenGivesAddressAndPortAtOnce) {
  const struct {
    const char* text;
    const char* address;
    std::int64_t port;
  } kCases[] = {{"127.0.0.2:0", "127.0.0.2", 0},
                {"[::1]:80", "::1", 80},
                {"[::1]", "::1", 7717},
                {"::1", "::1", 7717},
                {"10.0.0.1", "10.0.0.1", 7717}};
  for (const auto& example : kCases) {
    SCOPED_TRACE(example.text);
    ConfigSources flag = user_sources();
    flag.overrides = {std::string("listen=") + example.text};
    EXPECT_EQ(load_or_die(flag).listen_address, example.address);
    EXPECT_EQ(load_or_die(flag).port, example.port);
    EXPECT_EQ(load_or_die(file_sources("listen = \"" + std::string(example.text) + "\"")), load_or_die(flag));
  }
  for (const char* bad : {"127.0.0.1:http", "127.0.0.1:", "[::1]x:80", "[127.0.0.1]:80", "[::1", ":80", "bad:port:x"}) {
    SCOPED_TRACE(bad);
    ConfigSources flag = user_sources();
    flag.environment["BUSBAR_LISTEN"] = bad;
    EXPECT_NE(message_of(flag), "accepted");
  }
}

TEST(Config, ListsInFlagsAreCommaSeparated) {
  ConfigSources sources = user_sources();
  sources.overrides = {"allowed_hosts=a, b,,"};
  EXPECT_EQ(load_or_die(sources).allowed_hosts, (std::vector<std::string>{"a", "b"}));
}

TEST(Config, ErrorsInAFileSayWhereAndWhat) {
  const struct {
    const char* text;
    const char* message;
  } kCases[] = {
      {"\nprot = 1\n", "b.toml:2: unknown key \"prot\"; did you mean port?"},
      {"port = \"x\"\n", "b.toml:1: port must be a whole number, not a text"},
      {"port = 70000\n", "b.toml:1: port is 70000, outside 0 to 65535"},
      {"port = true\n", "b.toml:1: port must be a whole number"},
      {"log_level = \"loud\"\n", "b.toml:1: log_level must be debug or info or warning or error or off, not \"loud\""},
      {"log_level = 3\n", "b.toml:1: log_level must be debug or info or warning or error or off, not the number 3"},
      {"max_body = \"1KiB\"\n", "b.toml:1: max_body is 1KiB, outside 64KiB to 1GiB"},
      {"shutdown_grace = \"soon\"\n", "b.toml:1: shutdown_grace must be a duration such as \"10s\", not \"soon\""},
      {"state_dir = \"here\"\n", "b.toml:1: state_dir must be an absolute path, not \"here\""},
      {"allowed_hosts = \"a\"\n", "b.toml:1: allowed_hosts must be a list of texts, not a text"},
      {"allowed_hosts = [1]\n", "b.toml:1: allowed_hosts must be a list of texts"},
      {"\n\n[[queues]]\nname = \"Bad Name\"\n", "b.toml:3: "},
      {"[[queues]]\nname = \"a\"\nlimti = 1\n", "b.toml:3: unknown key \"limti\" of a queue"},
      {"[[queues]]\nname = \"a\"\nlimit = \"many\"\n", "b.toml:3: limit: \"many\" is no amount of cards"},
      {"[[queues]]\nname = \"a\"\n[[queues]]\nname = \"a\"\n", "b.toml:3: queue \"a\" is there already"},
      {"queues = 3\n", "b.toml:1: queues must be tables"},
      {"port = \n", "b.toml:1:"},
  };
  for (const auto& example : kCases) {
    SCOPED_TRACE(example.text);
    EXPECT_TRUE(message_of(file_sources(example.text)).starts_with(example.message))
        << message_of(file_sources(example.text));
  }
}

TEST(Config, ErrorsElsewhereNameTheVariableOrTheFlag) {
  ConfigSources variable = user_sources();
  variable.environment["BUSBAR_PORT"] = "http";
  EXPECT_EQ(message_of(variable), "BUSBAR_PORT: port must be a whole number, not \"http\"");
  ConfigSources flag = user_sources();
  flag.overrides = {"log_levle=info"};
  EXPECT_EQ(message_of(flag), "flag: unknown key \"log_levle\"; did you mean log_level?");
  flag.overrides = {"queues=a"};
  EXPECT_EQ(message_of(flag), "flag: queues can be set only in the configuration file");
  flag.overrides = {"port"};
  EXPECT_EQ(message_of(flag), "flag \"port\": expected key=value");
}

TEST(Config, VariablesOfClientsAndTasksAreNotTheServersBusiness) {
  ConfigSources sources = user_sources();
  sources.environment["BUSBAR_URL"] = "http://elsewhere";
  sources.environment["BUSBAR_JOB_ID"] = "17";
  load_or_die(sources);
}

TEST(Config, RefusesToServeOtherMachinesWithoutTokens) {
  for (const char* address : {"0.0.0.0", "::", "10.0.0.1"}) {
    SCOPED_TRACE(address);
    ConfigSources sources = user_sources();
    sources.overrides = {"auth=none", std::string("listen_address=") + address};
    EXPECT_TRUE(message_of(sources).starts_with("auth is none but listen_address is")) << message_of(sources);
    sources.overrides[0] = "auth=token";
    load_or_die(sources);
  }
  ConfigSources loopback = user_sources();
  loopback.overrides = {"auth=none", "listen_address=::1"};
  load_or_die(loopback);
}

TEST(Config, NeedsToKnowAPlaceForTheState) {
  EXPECT_EQ(message_of({}), "state_dir is not given and HOME is not set; set BUSBAR_STATE_DIR");
}

TEST(Config, WhatItPrintsReadsBackTheSame) {
  ConfigSources sources = file_sources(
      "[[queues]]\nname = \"q\"\nlimit = \"1.25\"\nweight = \"2,H100=3\"\n"
      "reclaim_bound = \"10m\"\nenforce = \"now\"\n"
      "[[queues]]\nname = \"r\"\nparent = \"q\"\nguarantee = {all = 1, H100 = 0.5}\n");
  sources.overrides = {"log_max_size=131073", "shutdown_grace=250ms", "allowed_hosts=a,b", "node_name=x\"y\\z"};
  const auto loaded = load_config_with_origins(sources);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().to_string();
  EXPECT_EQ(load_or_die(file_sources(config_to_toml(*loaded))), loaded->config);
}

TEST(Config, SaysWhereEachValueCameFrom) {
  ConfigSources sources =
      file_sources("log_level = \"debug\"\nport = 1\n\nauth = \"token\"\n[[queues]]\nname = \"q\"\n");
  sources.environment["BUSBAR_LOG_FILES"] = "7";
  sources.environment["BUSBAR_LISTEN"] = "127.0.0.2:99";
  sources.overrides = {"port=5"};
  const auto loaded = load_config_with_origins(sources);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().to_string();
  const std::string toml = config_to_toml(*loaded);
  for (const char* line : {"log_level = \"debug\"  # b.toml:1\n", "auth = \"token\"  # b.toml:4\n",
                           "log_files = 7  # BUSBAR_LOG_FILES\n", "listen_address = \"127.0.0.2\"  # BUSBAR_LISTEN\n",
                           "port = 5  # flag\n", "api_threads = 1  # default\n", "[[queues]]  # b.toml:5\n"}) {
    EXPECT_NE(toml.find(line), std::string::npos) << line << "in\n" << toml;
  }
  const Json json = config_to_json(*loaded);
  EXPECT_EQ(json["settings"]["port"].dump(), R"({"value":5,"source":"flag"})");
  EXPECT_EQ(json["settings"]["shutdown_grace"]["value"].as_string(), "5s");
  EXPECT_EQ(json["queues"].items().size(), 1U);
}

TEST(Config, AddressAndPortWinOverListenInTheSameFile) {
  const ServerConfig config = load_or_die(file_sources("listen_address = \"127.0.0.5\"\nlisten = \"127.0.0.1:9\"\n"));
  EXPECT_EQ(config.listen_address, "127.0.0.5");
  EXPECT_EQ(config.port, 9);
}

TEST(Config, SetsTheRulesOfTheScheduler) {
  EXPECT_EQ(policy_of(load_or_die(file_sources(""))), sched::Policy{}) << "the defaults are the core's own";
  const sched::Policy policy = policy_of(load_or_die(file_sources(
      "sched_hold = \"2m\"\nsched_max_promises = 3\nsched_backfill = \"yield\"\nsched_half_life = \"7d\"\n")));
  EXPECT_EQ(policy.hold_ms, 120'000);
  EXPECT_EQ(policy.max_reservations, 3U);
  EXPECT_TRUE(policy.may_backfill_yield);
  EXPECT_EQ(policy.fair_share_half_life_ms, 7 * std::int64_t{86'400'000});
}

TEST(Config, FindsItsFileByVariableThenByUser) {
  EXPECT_EQ(default_config_path({}, true), "/etc/busbar/busbar.toml");
  EXPECT_EQ(default_config_path({{"HOME", "/home/ada"}}, false), "/home/ada/.config/busbar/busbar.toml");
  EXPECT_EQ(default_config_path({{"BUSBAR_CONFIG", "/x.toml"}}, true), "/x.toml");
}

TEST(Config, TheDocumentListsEveryKey) {
  expect_section("docs/configuration.md", "keys", config_reference());
}

}  // namespace
}  // namespace busbar::control

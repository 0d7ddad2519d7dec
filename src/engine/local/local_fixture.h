#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "engine/contract_tests.h"
#include "engine/local/local_engine.h"
#include "os/system_clock.h"
#include "os/test_dir.h"

namespace busbar::engine {

/// This machine, with directories of the test's own.
class LocalFixture final : public EngineFixture {
 public:
  LocalFixture() { std::signal(SIGPIPE, SIG_IGN); }

  std::string skip_reason() const override {
    return ::geteuid() == 0 ? "" : "needs root: real containers with cgroups";
  }

  LocalOptions options() const {
    LocalOptions options{.state_dir = dir_.file("state"),
                         .run_dir = dir_.file("run"),
                         .helper_dir = std::string(BUSBAR_BINARY_DIR) + "/bin"};
    options.masked_paths = masked_paths;
    options.log_max_bytes = log_max_bytes;
    return options;
  }

  std::unique_ptr<Engine> open() override {
    auto engine = make_local_engine(options(), {host_.get()}, clock_);
    EXPECT_TRUE(engine.has_value()) << engine.error().to_string();
    return engine ? std::move(*engine) : nullptr;
  }

  const os::TestDir& dir() const { return dir_; }

  std::vector<std::string> masked_paths = {};
  std::int64_t log_max_bytes = 64 << 20;

 private:
  os::TestDir dir_;
  os::SystemClock clock_;
  std::unique_ptr<RootfsProvider> host_ = make_host_rootfs({});
};

}  // namespace busbar::engine

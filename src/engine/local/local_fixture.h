#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/test_paths.h"
#include "engine/fake_probe.h"
#include "engine/local/local_engine.h"
#include "engine/test_support.h"
#include "os/files.h"
#include "os/system_clock.h"
#include "os/test_dir.h"

namespace busbar::engine {

/// An image with nothing but a static busybox, run as an ordinary user.
class BusyboxRootfs final : public RootfsProvider {
 public:
  explicit BusyboxRootfs(std::string dir) : dir_(std::move(dir)) {}
  bool accepts(std::string_view image) const override { return image == "test:busybox"; }
  Result<Rootfs> prepare(std::string_view) override {
    TRY(os::make_dirs(dir_ + "/bin"));
    TRY_ASSIGN(const std::string program, os::read_file("/bin/busybox", std::size_t{16} << 20));
    TRY(os::write_file_atomic(dir_ + "/bin/busybox", program, 0755, os::Durability::kCached));
    for (const char* name : {"sh", "id", "ls", "cat", "sleep"}) {
      std::filesystem::remove(dir_ + "/bin/" + name);
      std::filesystem::create_symlink("busybox", dir_ + "/bin/" + name);
    }
    return Rootfs{.lower_dirs = {dir_}, .env = {"PATH=/bin"}, .workdir = "/work", .user = "1000:1000"};
  }

 private:
  const std::string dir_;
};

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
    options.probe_period_ms = probe_period_ms;
    return options;
  }

  std::unique_ptr<Engine> open() override {
    auto engine = make_local_engine(options(), {host_.get(), &busybox_}, probe, clock_);
    EXPECT_TRUE(engine.has_value()) << engine.error().to_string();
    return engine ? std::move(*engine) : nullptr;
  }

  const os::TestDir& dir() const { return dir_; }

  std::vector<std::string> masked_paths = {};
  std::int64_t log_max_bytes = 64 << 20;
  std::int64_t probe_period_ms = 0;
  FakeProbe probe;

 private:
  os::TestDir dir_;
  os::SystemClock clock_;
  BusyboxRootfs busybox_{dir_.file("busybox")};
  std::unique_ptr<RootfsProvider> host_ = make_host_rootfs({});
};

}  // namespace busbar::engine

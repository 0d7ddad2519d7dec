#include "engine/local/internal/seccomp_profile.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace busbar::engine {
namespace {

/// Names that some rule allows without a condition.
std::set<std::string> allowed_names() {
  std::set<std::string> names;
  const Json profile = seccomp_profile();
  for (const Json& rule : profile["syscalls"].items()) {
    if (rule["action"].as_string() != "SCMP_ACT_ALLOW" || rule.find("args") != nullptr) {
      continue;
    }
    for (const Json& name : rule["names"].items()) {
      EXPECT_TRUE(names.insert(name.as_string()).second) << name.as_string() << " twice";
    }
  }
  return names;
}

TEST(SeccompProfile, DeniesByDefault) {
  EXPECT_EQ(seccomp_profile()["defaultAction"].as_string(), "SCMP_ACT_ERRNO");
  EXPECT_EQ(seccomp_profile()["defaultErrnoRet"].as_int(), 1);
}

TEST(SeccompProfile, DeniesWhatReachesTheHost) {
  const auto allowed = allowed_names();
  for (const std::string name : {"mount",
                                 "umount2",
                                 "move_mount",
                                 "fsopen",
                                 "pivot_root",
                                 "chroot",
                                 "unshare",
                                 "setns",
                                 "kexec_load",
                                 "kexec_file_load",
                                 "bpf",
                                 "keyctl",
                                 "add_key",
                                 "request_key",
                                 "init_module",
                                 "finit_module",
                                 "delete_module",
                                 "reboot",
                                 "swapon",
                                 "open_by_handle_at",
                                 "perf_event_open",
                                 "userfaultfd",
                                 "clock_settime",
                                 "settimeofday",
                                 "sethostname",
                                 "iopl",
                                 "ioperm",
                                 "acct",
                                 "quotactl",
                                 "io_uring_setup",
                                 "clone",
                                 "clone3"}) {
    EXPECT_FALSE(allowed.contains(name)) << name;
  }
}

TEST(SeccompProfile, AllowsWhatPythonTorchAndOpenMpiUse) {
  const auto allowed = allowed_names();
  for (const std::string name :
       {"read", "write", "openat", "mmap", "futex", "execve", "fork", "vfork", "sched_setaffinity", "set_mempolicy",
        "mbind", "shmget", "memfd_create", "process_vm_readv", "epoll_wait", "rseq", "getrandom", "ptrace", "prctl"}) {
    EXPECT_TRUE(allowed.contains(name)) << name;
  }
}

TEST(SeccompProfile, CloneMayNotMakeNamespaces) {
  bool has_rule = false;
  const Json profile = seccomp_profile();
  for (const Json& rule : profile["syscalls"].items()) {
    if (rule["names"].items().at(0).as_string() == "clone") {
      has_rule = true;
      EXPECT_EQ(rule["args"].items().at(0)["op"].as_string(), "SCMP_CMP_MASKED_EQ");
      EXPECT_EQ(rule["args"].items().at(0)["value"].as_int(), 0x7e020000);
    }
  }
  EXPECT_TRUE(has_rule);
}

}  // namespace
}  // namespace busbar::engine

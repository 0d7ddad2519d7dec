#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/local/local_engine.h"
#include "os/files.h"

namespace busbar::engine {
namespace {

/// What nobody's job has to see: other programs' sockets and pid files, passwords, keys, other jobs' scratch.
constexpr const char* kPrivate[] = {"/root",        "/run",          "/etc/shadow",     "/etc/shadow-",
                                    "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers",    "/etc/ssl/private",
                                    "/tmp",         "/var/tmp",      "/etc/krb5.keytab"};

void add_keys(std::vector<std::string>& paths) {
  if (const auto entries = os::list_dir("/etc/ssh")) {
    for (const os::DirEntry& entry : *entries) {
      if (entry.name.starts_with("ssh_host_") && entry.name.ends_with("_key")) {
        paths.push_back("/etc/ssh/" + entry.name);
      }
    }
  }
  if (const auto homes = os::list_dir("/home")) {
    for (const os::DirEntry& home : *homes) {
      for (const char* name : {"/.ssh", "/.gnupg", "/.aws", "/.kube", "/.config/busbar"}) {
        paths.push_back("/home/" + home.name + name);
      }
    }
  }
}

class HostRootfs final : public RootfsProvider {
 public:
  explicit HostRootfs(std::vector<std::string> masked_paths) : masked_paths_(std::move(masked_paths)) {}

  bool accepts(std::string_view image) const override { return image == "host"; }

  Result<Rootfs> prepare(std::string_view) override {
    Rootfs rootfs{.lower_dirs = {"/"}, .masked_paths = masked_paths_, .workdir = "/", .is_host = true};
    rootfs.masked_paths.insert(rootfs.masked_paths.end(), std::begin(kPrivate), std::end(kPrivate));
    add_keys(rootfs.masked_paths);
    return rootfs;
  }

 private:
  const std::vector<std::string> masked_paths_;
};

}  // namespace

std::unique_ptr<RootfsProvider> make_host_rootfs(std::vector<std::string> masked_paths) {
  return std::make_unique<HostRootfs>(std::move(masked_paths));
}

}  // namespace busbar::engine

#include "chip/probe/internal/host_root.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "base/text.h"
#include "os/errno_error.h"

namespace busbar::chip::probe {
namespace {

/// cpuinfo of a machine with a thousand CPUs is 1.5 MB; nothing else is near that.
constexpr std::size_t kMaxFile = std::size_t{16} << 20;
constexpr std::size_t kMaxMark = 64;
constexpr std::size_t kPage = 4096;

Result<std::string> read_page(const std::string& path) {
  TRY_ASSIGN(const os::UniqueFd file, os::open_file(path, O_RDONLY));
  std::array<char, kPage> page;
  const ssize_t got = ::read(file.get(), page.data(), page.size());
  if (got < 0) return os::errno_failure("cannot read " + path);
  return std::string(page.data(), static_cast<std::size_t>(got));
}

}  // namespace

std::optional<NodeStat> stat_device(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0 || (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode))) return std::nullopt;
  return NodeStat{.type = S_ISCHR(info.st_mode) ? 'c' : 'b',
                  .number = {.major = major(info.st_rdev), .minor = minor(info.st_rdev)}};
}

std::optional<NodeStat> stat_device_or_mark(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  if (!S_ISREG(info.st_mode)) return stat_device(path);
  const auto text = os::read_file(path, kMaxMark);
  if (!text || (!text->starts_with("c ") && !text->starts_with("b "))) return std::nullopt;
  const auto number = parse_device_number(std::string_view(*text).substr(2));
  if (!number) return std::nullopt;
  return NodeStat{.type = text->front(), .number = *number};
}

HostRoot::HostRoot(const std::string& prefix, StatFunction stat) : prefix_(prefix), stat_(std::move(stat)) {
  while (prefix_.ends_with('/')) prefix_.pop_back();
}

Result<std::string> HostRoot::read(std::string_view path) const {
  // The kernel gives an attribute of sysfs, a page at most, in one read: three system calls instead of five, for the
  // thousand files of a scan.
  return path.starts_with("/sys/") ? read_page(at(path)) : os::read_file(at(path), kMaxFile);
}

std::string HostRoot::read_or_empty(std::string_view path) const {
  const auto text = read(path);
  return text ? std::string(trim(*text)) : std::string();
}

std::vector<os::DirEntry> HostRoot::list(std::string_view path) const {
  return os::list_dir(at(path)).value_or(std::vector<os::DirEntry>());
}

bool HostRoot::exists(std::string_view path) const {
  return os::file_exists(at(path));
}

std::string HostRoot::link_target(std::string_view path) const {
  return os::read_link(at(path)).value_or(std::string());
}

std::string HostRoot::link_name(std::string_view path) const {
  const std::string target = link_target(path);
  return target.substr(target.rfind('/') + 1);
}

}  // namespace busbar::chip::probe

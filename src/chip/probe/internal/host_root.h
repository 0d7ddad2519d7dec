#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chip/probe/internal/sysfs_text.h"
#include "engine/device_probe.h"
#include "os/files.h"

namespace busbar::chip::probe {

/// A device node as stat(2) shows it.
struct NodeStat {
  char type = 'c';  ///< 'c' or 'b'.
  DeviceNumber number = {};
  friend bool operator==(const NodeStat&, const NodeStat&) = default;
};
/// nullopt: no device node is there. Given a path of this machine, prefix included.
using StatFunction = std::function<std::optional<NodeStat>(const std::string& path)>;

/// Character and block devices, nothing else.
std::optional<NodeStat> stat_device(const std::string& path);
/// Also plain files that say "c 195:0": nodes in a tree that was copied from another machine, or made without root.
std::optional<NodeStat> stat_device_or_mark(const std::string& path);

/// /sys, /proc, /dev and /etc of a machine: this one's, or a tree of another one. Paths below are the machine's own
/// ("/sys/bus/pci"); `at` says where they lie here. Thread-safe.
class HostRoot {
 public:
  /// `prefix` "/" or "": this machine.
  HostRoot(const std::string& prefix, StatFunction stat);

  bool is_this_machine() const { return prefix_.empty(); }
  std::string at(std::string_view path) const { return prefix_ + std::string(path); }

  /// The whole file. kNotFound where it is absent; at most 1 MiB.
  Result<std::string> read(std::string_view path) const;
  /// The file, trimmed; empty where it cannot be read.
  std::string read_or_empty(std::string_view path) const;
  /// Empty where there is no such directory.
  std::vector<os::DirEntry> list(std::string_view path) const;
  bool exists(std::string_view path) const;
  std::optional<NodeStat> stat_node(std::string_view path) const { return stat_(at(path)); }
  /// What a link says; empty where it is no link.
  std::string link_target(std::string_view path) const;
  /// The last part of that.
  std::string link_name(std::string_view path) const;

 private:
  std::string prefix_;
  StatFunction stat_;
};

}  // namespace busbar::chip::probe

#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace busbar::chip::probe {

/// A host made of files: sysfs, /proc and /dev as a description says (tests/data/hosts/README.md), without root. For
/// tests and benchmarks.
class FakeHost {
 public:
  /// Builds below `root`, which must exist. kInvalidArgument names what is wrong with the description.
  static Result<FakeHost> build(std::string root, std::string_view description);

  const std::string& root() const { return root_; }

  /// Writes one file of the host ("/sys/..."), its directories too.
  Result<void> write(const std::string& path, std::string_view content) const;
  Result<void> remove(const std::string& path) const;
  /// A device off the bus, with all that sysfs says of it.
  Result<void> unplug(const std::string& pci_address) const;

 private:
  explicit FakeHost(std::string root) : root_(std::move(root)) {}

  std::string root_;
};

}  // namespace busbar::chip::probe

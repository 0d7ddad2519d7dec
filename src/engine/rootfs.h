#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace busbar::engine {

/// A root file system as overlay layers plus what the image says of itself.
struct Rootfs {
  std::vector<std::string> lower_dirs = {};  ///< Host directories, topmost first. {"/"} for image: host.
  /// Paths inside the root that must not show the host's content: made empty (directories: tmpfs, files: /dev/null).
  std::vector<std::string> masked_paths = {};
  std::vector<std::string> env = {};  ///< "PATH=..." of the image's config.
  std::string workdir = {};
  std::string user = {};  ///< "uid[:gid]"; empty: root.
  bool is_host = false;
};

/// Turns an image's name into directories. Thread-safe; may take long (unpacks); repeated calls are served from disk.
class RootfsProvider {
 public:
  virtual ~RootfsProvider() = default;
  /// True if this provider is the one for `image` ("host", "oci:...").
  virtual bool accepts(std::string_view image) const = 0;
  virtual Result<Rootfs> prepare(std::string_view image) = 0;
};

}  // namespace busbar::engine

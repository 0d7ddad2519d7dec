#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/error.h"

namespace busbar::engine {

/// A layer for overlay that hides paths of the host's root: an empty opaque directory over a directory, an empty file
/// over a file, with the parents' owners and modes copied so that the merged tree looks the same otherwise. Made once
/// for a set of paths below `parent_dir` and used by every task, so that hiding costs nothing at a start.
struct MaskLayer {
  std::string dir = {};  ///< Empty: nothing to hide.
};

/// What is to be hidden, sorted by how: those on the root file system go into the layer, those on other file systems
/// (which are bind-mounted over the overlay) must be covered in the container's own mounts.
struct MaskPlan {
  std::vector<std::string> in_layer = {};
  std::vector<std::string> covered_dirs = {};
  std::vector<std::string> covered_files = {};
};

/// Looks at the file system: paths that do not exist are left out, links are followed to what they mean.
MaskPlan plan_masks(const std::vector<std::string>& paths, std::span<const std::string> host_mounts);

/// Needs the right to set trusted xattrs (root). Thread-safe: whoever comes second uses the first one's.
Result<MaskLayer> make_mask_layer(const std::string& parent_dir, const std::vector<std::string>& paths);

struct OverlayMount {
  std::vector<std::string> lower_dirs = {};  ///< Topmost first.
  std::string upper_dir = {};
  std::string work_dir = {};
  std::string target = {};
};

/// mount(2) of an overlay. The error says what to do when the upper directory's file system cannot hold one.
Result<void> mount_overlay(const OverlayMount& overlay);

/// The file system for mask layers. Overlay refuses a lower directory inside another one, and everything on the root
/// file system is inside "/"; so they lie in memory. Does nothing where one is mounted already.
Result<void> mount_mask_tmpfs(const std::string& target);

/// A file system in memory that is never swapped where the kernel can promise that (6.4).
Result<void> mount_secrets_tmpfs(const std::string& target);

/// Unmounts all that is mounted there; lazily if it is busy. Fine if nothing is.
Result<void> unmount(const std::string& target);

/// Copies owner and mode of `from` to `to`.
Result<void> copy_attributes(const std::string& from, const std::string& to);

}  // namespace busbar::engine

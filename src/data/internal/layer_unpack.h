#pragma once

#include <string>

#include "base/error.h"

namespace busbar::data {

/// Unpacks one image layer (tar, plain or compressed with gzip or zstd) into `target_dir`, which exists and is empty.
/// Whiteouts (`.wh.NAME`, `.wh..wh..opq`: OCI image-spec layer.md) become overlay's own: a character device 0:0, and
/// the opaque attribute. Owners, modes, times, links and user attributes are kept; devices are left out, since
/// containers get theirs from the runtime.
///
/// The archive is not trusted: names with `..`, and names whose parent is a link, are kInvalidArgument and nothing is
/// ever written outside `target_dir`. Thread-safe; blocks.
Result<void> unpack_layer(const std::string& archive_path, const std::string& target_dir);

}  // namespace busbar::data

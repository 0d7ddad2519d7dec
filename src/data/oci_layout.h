#pragma once

#include <memory>
#include <string>

#include "engine/rootfs.h"

namespace busbar::data {

/// RootfsProvider for "oci:PATH[:TAG]": an OCI image layout directory (OCI image-spec 1.0, image-layout.md). Each layer
/// is checked against its digest, unpacked once below `cache_dir`/layers/<digest> with whiteouts turned into overlay's
/// own, and shared by every image that has it. Thread-safe; two callers unpack a layer once.
std::unique_ptr<engine::RootfsProvider> make_oci_layout_provider(std::string cache_dir);

}  // namespace busbar::data

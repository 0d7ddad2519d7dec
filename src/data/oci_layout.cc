#include "data/oci_layout.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/text.h"
#include "data/internal/layer_unpack.h"
#include "os/crypto/crypto.h"
#include "os/errno_error.h"
#include "os/files.h"

namespace busbar::data {
namespace {

constexpr std::string_view kScheme = "oci:";
constexpr std::size_t kMaxManifest = 4 << 20;
constexpr const char* kTagAnnotation = "org.opencontainers.image.ref.name";
/// Characters of a digest in the names given to overlay, whose options must fit one page.
constexpr std::size_t kShortDigest = 20;

#if defined(__x86_64__)
constexpr std::string_view kArchitecture = "amd64";
#elif defined(__aarch64__)
constexpr std::string_view kArchitecture = "arm64";
#else
constexpr std::string_view kArchitecture = "unknown";
#endif

struct ImageName {
  std::string path = {};
  std::string tag = {};
};

bool is_directory(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

/// "oci:/a/b:tag"; a path that holds a colon itself is taken whole when it exists.
ImageName parse_name(std::string_view image) {
  const std::string rest(image.substr(kScheme.size()));
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string::npos || rest.find('/', colon) != std::string::npos || is_directory(rest)) {
    return {.path = rest};
  }
  return {.path = rest.substr(0, colon), .tag = rest.substr(colon + 1)};
}

/// The hex digits of "sha256:..."; they become part of paths, so nothing else passes.
Result<std::string> digest_hex(const Json& descriptor) {
  constexpr std::string_view kPrefix = "sha256:";
  const std::string& digest = descriptor["digest"].as_string();
  const std::string hex = digest.starts_with(kPrefix) ? digest.substr(kPrefix.size()) : "";
  const bool is_hex =
      std::all_of(hex.begin(), hex.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (hex.size() != 64 || !is_hex) {
    return make_error(ErrorCode::kInvalidArgument, "\"" + digest + "\" is not a sha256 digest");
  }
  return hex;
}

bool is_index(const Json& descriptor) {
  const std::string& type = descriptor["mediaType"].as_string();
  return type == "application/vnd.oci.image.index.v1+json" ||
         type == "application/vnd.docker.distribution.manifest.list.v2+json";
}

Result<void> check_layer_type(const Json& layer) {
  const std::string& type = layer["mediaType"].as_string();
  const bool is_known = type.starts_with("application/vnd.oci.image.layer.v1.tar") ||
                        type.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar") ||
                        type == "application/vnd.docker.image.rootfs.diff.tar.gzip" ||
                        type == "application/vnd.docker.image.rootfs.diff.tar";
  if (!is_known || type.ends_with("+encrypted")) {
    return make_error(ErrorCode::kUnsupported,
                      "a layer has media type \"" + type + "\"; tar, tar+gzip and tar+zstd are supported");
  }
  return {};
}

/// Reading of one layout directory; every blob is checked against its digest.
class Layout {
 public:
  explicit Layout(std::string path) : path_(std::move(path)) {}

  Result<Json> manifest(const std::string& tag) const {
    TRY_ASSIGN(const Json index, read_json(path_ + "/index.json"));
    TRY_ASSIGN(Json descriptor, choose(index, tag));
    for (int depth = 0; is_index(descriptor); ++depth) {
      if (depth > 3) {
        return make_error(ErrorCode::kInvalidArgument, "the image's indexes are nested too deeply");
      }
      TRY_ASSIGN(const Json inner, blob(descriptor));
      TRY_ASSIGN(descriptor, choose_platform(inner));
    }
    return blob(descriptor);
  }

  Result<std::string> blob_path(const Json& descriptor) const {
    TRY_ASSIGN(const std::string hex, digest_hex(descriptor));
    return path_ + "/blobs/sha256/" + hex;
  }

  /// A small JSON blob.
  Result<Json> blob(const Json& descriptor) const {
    TRY_ASSIGN(const std::string path, blob_path(descriptor));
    TRY_ASSIGN(const std::string text, os::read_file(path, kMaxManifest));
    if ("sha256:" + os::sha256(text) != descriptor["digest"].as_string()) {
      return make_error(ErrorCode::kDataCorrupt, path + " does not have the bytes that its name promises");
    }
    return parse_json(text);
  }

 private:
  static Result<Json> read_json(const std::string& path) {
    TRY_ASSIGN(const std::string text, os::read_file(path, kMaxManifest));
    return parse_json(text);
  }

  Result<Json> choose(const Json& index, const std::string& tag) const {
    const Json::Array& manifests = index["manifests"].items();
    std::string tags;
    for (const Json& each : manifests) {
      const std::string& name = each["annotations"][kTagAnnotation].as_string();
      if (name == (tag.empty() ? "latest" : tag) || (tag.empty() && manifests.size() == 1)) {
        return each;
      }
      tags += (tags.empty() ? "" : ", ") + (name.empty() ? std::string("(no tag)") : name);
    }
    return make_error(ErrorCode::kNotFound,
                      path_ + (tag.empty() ? " has several images" : " has no image \"" + tag + "\"") +
                          "; tags: " + (tags.empty() ? "none" : tags));
  }

  Result<Json> choose_platform(const Json& index) const {
    for (const Json& each : index["manifests"].items()) {
      const Json& platform = each["platform"];
      if (platform.is_null() ||
          (platform["os"].as_string() == "linux" && platform["architecture"].as_string() == kArchitecture)) {
        return each;
      }
    }
    return make_error(ErrorCode::kUnsupported, path_ + " has no image for linux/" + std::string(kArchitecture));
  }

  std::string path_;
};

class OciLayoutProvider final : public engine::RootfsProvider {
 public:
  explicit OciLayoutProvider(std::string cache_dir) : cache_dir_(std::move(cache_dir)) {}

  bool accepts(std::string_view image) const override { return image.starts_with(kScheme); }

  Result<engine::Rootfs> prepare(std::string_view image) override {
    const ImageName name = parse_name(image);
    if (!name.path.starts_with('/')) {
      return make_error(ErrorCode::kInvalidArgument, "the layout's path \"" + name.path + "\" is not absolute");
    }
    const Layout layout(name.path);
    TRY_ASSIGN(const Json manifest, layout.manifest(name.tag));
    TRY_ASSIGN(const Json config, layout.blob(manifest["config"]));
    if (const std::string& architecture = config["architecture"].as_string();
        !architecture.empty() && architecture != kArchitecture) {
      return make_error(ErrorCode::kUnsupported,
                        "the image is for " + architecture + ", this machine is " + std::string(kArchitecture));
    }
    engine::Rootfs rootfs{.workdir = config["config"]["WorkingDir"].as_string(),
                          .user = config["config"]["User"].as_string()};
    for (const Json& pair : config["config"]["Env"].items()) {
      rootfs.env.push_back(pair.as_string());
    }
    for (const Json& layer : manifest["layers"].items()) {
      TRY_ASSIGN(std::string dir, layer_dir(layout, layer));
      rootfs.lower_dirs.insert(rootfs.lower_dirs.begin(), std::move(dir));
    }
    if (rootfs.lower_dirs.empty()) {
      return make_error(ErrorCode::kInvalidArgument, "the image has no layers");
    }
    return rootfs;
  }

 private:
  /// The unpacked layer, by its short name. Unpacks it the first time.
  Result<std::string> layer_dir(const Layout& layout, const Json& layer) {
    TRY(check_layer_type(layer));
    TRY_ASSIGN(const std::string hex, digest_hex(layer));
    const std::string dir = cache_dir_ + "/layers/" + hex;
    const std::string link = cache_dir_ + "/l/" + hex.substr(0, kShortDigest);
    const std::lock_guard lock(mutex_);
    if (!os::file_exists(dir)) {
      TRY_ASSIGN(const std::string blob, layout.blob_path(layer));
      const auto unpacked = unpack_new(blob, hex, dir);
      if (!unpacked) {
        return with_context("layer sha256:" + hex, unpacked.error());
      }
    }
    if (!os::file_exists(link)) {
      TRY(os::make_dirs(cache_dir_ + "/l"));
      if (::symlink(("../layers/" + hex).c_str(), link.c_str()) != 0 && errno != EEXIST) {
        return os::errno_failure("cannot make " + link);
      }
    }
    return link;
  }

  Result<void> unpack_new(const std::string& blob, const std::string& hex, const std::string& dir) const {
    TRY_ASSIGN(const std::string actual, os::sha256_file(blob));
    if (actual != hex) {
      return make_error(ErrorCode::kDataCorrupt, blob + " has digest sha256:" + actual + "; fetch the image again");
    }
    TRY(os::make_dirs(cache_dir_ + "/layers"));
    // Left by a crash, perhaps.
    const std::string staging = cache_dir_ + "/layers/." + hex + "." + std::to_string(::getpid());
    TRY(os::remove_tree(staging));
    TRY(os::make_dirs(staging, 0755));
    if (const auto unpacked = unpack_layer(blob, staging); !unpacked) {
      (void)os::remove_tree(staging);
      return unpacked;
    }
    if (::rename(staging.c_str(), dir.c_str()) != 0) {
      return os::errno_failure("cannot put " + dir + " into place");
    }
    return os::sync_dir(cache_dir_ + "/layers");
  }

  const std::string cache_dir_;
  std::mutex mutex_;  ///< One layer at a time: the disk is what limits.
};

}  // namespace

std::unique_ptr<engine::RootfsProvider> make_oci_layout_provider(std::string cache_dir) {
  return std::make_unique<OciLayoutProvider>(std::move(cache_dir));
}

}  // namespace busbar::data

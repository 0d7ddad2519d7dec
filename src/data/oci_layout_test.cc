#include "data/oci_layout.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "data/internal/test_archive.h"
#include "os/crypto/crypto.h"
#include "os/files.h"
#include "os/test_dir.h"

namespace busbar::data {
namespace {

constexpr const char* kLayerType = "application/vnd.oci.image.layer.v1.tar+gzip";
constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";

#if defined(__x86_64__)
constexpr const char* kArchitecture = "amd64";
#else
constexpr const char* kArchitecture = "arm64";
#endif

/// A layout directory made by hand.
class OciLayout : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(os::make_dirs(layout_ + "/blobs/sha256")); }

  Json add_blob(const std::string& bytes, const std::string& media_type) {
    const std::string hex = os::sha256(bytes);
    EXPECT_TRUE(os::write_file_atomic(layout_ + "/blobs/sha256/" + hex, bytes));
    return Json::object({{"mediaType", media_type}, {"digest", "sha256:" + hex}, {"size", bytes.size()}});
  }

  Json add_layer(const std::string& name, const std::string& content, const std::string& type = kLayerType) {
    const std::string path = dir_.file("layer.tar");
    {
      TestArchive(path, Compression::kGzip).file(name, content);
    }
    return add_blob(os::read_file(path, 1 << 20).value(), type);
  }

  Json add_image(Json::Array layers, const std::string& architecture = kArchitecture) {
    const Json config = Json::object({{"architecture", architecture},
                                      {"os", "linux"},
                                      {"config", Json::object({{"Env", Json::array({Json("PATH=/bin"), Json("A=b")})},
                                                               {"WorkingDir", "/work"},
                                                               {"User", "1000:100"}})}});
    const Json manifest = Json::object({{"schemaVersion", 2},
                                        {"config", add_blob(config.dump(), "application/vnd.oci.image.config.v1+json")},
                                        {"layers", Json::array(std::move(layers))}});
    return add_blob(manifest.dump(), kManifestType);
  }

  void write_index(Json::Array manifests) {
    const Json index = Json::object({{"schemaVersion", 2}, {"manifests", Json::array(std::move(manifests))}});
    ASSERT_TRUE(os::write_file_atomic(layout_ + "/index.json", index.dump()));
  }

  static Json tagged(Json descriptor, const std::string& tag) {
    descriptor.set("annotations", Json::object({{"org.opencontainers.image.ref.name", tag}}));
    return descriptor;
  }

  os::TestDir dir_;
  std::string layout_ = dir_.file("layout");
  std::unique_ptr<engine::RootfsProvider> provider_ = make_oci_layout_provider(dir_.file("cache"));
};

TEST_F(OciLayout, GivesLayersTopmostFirstWithTheImagesConfig) {
  write_index({add_image({add_layer("below", "1"), add_layer("above", "2")})});
  const auto rootfs = provider_->prepare("oci:" + layout_);
  ASSERT_TRUE(rootfs.has_value()) << rootfs.error().to_string();
  ASSERT_EQ(rootfs->lower_dirs.size(), 2U);
  EXPECT_EQ(os::read_file(rootfs->lower_dirs[0] + "/above", 10).value(), "2");
  EXPECT_EQ(os::read_file(rootfs->lower_dirs[1] + "/below", 10).value(), "1");
  EXPECT_EQ(rootfs->env, (std::vector<std::string>{"PATH=/bin", "A=b"}));
  EXPECT_EQ(rootfs->workdir, "/work");
  EXPECT_EQ(rootfs->user, "1000:100");
  EXPECT_FALSE(rootfs->is_host);
}

TEST_F(OciLayout, AcceptsOnlyItsOwnScheme) {
  EXPECT_TRUE(provider_->accepts("oci:/x"));
  EXPECT_FALSE(provider_->accepts("host"));
}

TEST_F(OciLayout, ChoosesByTag) {
  write_index({tagged(add_image({add_layer("a", "old")}), "v1"), tagged(add_image({add_layer("a", "new")}), "v2")});
  EXPECT_EQ(os::read_file(provider_->prepare("oci:" + layout_ + ":v2").value().lower_dirs[0] + "/a", 10).value(),
            "new");
  const auto missing = provider_->prepare("oci:" + layout_ + ":v3");
  ASSERT_FALSE(missing.has_value());
  EXPECT_NE(missing.error().message.find("v1, v2"), std::string::npos) << missing.error().message;
  EXPECT_EQ(provider_->prepare("oci:" + layout_).error().code, ErrorCode::kNotFound);
}

TEST_F(OciLayout, FollowsAnIndexToThisMachinesPlatform) {
  Json foreign = add_image({add_layer("a", "foreign")}, "s390x");
  foreign.set("platform", Json::object({{"os", "linux"}, {"architecture", "s390x"}}));
  Json native = add_image({add_layer("a", "native")});
  native.set("platform", Json::object({{"os", "linux"}, {"architecture", kArchitecture}}));
  const Json inner = Json::object({{"manifests", Json::array({std::move(foreign), std::move(native)})}});
  write_index({add_blob(inner.dump(), "application/vnd.oci.image.index.v1+json")});
  const auto rootfs = provider_->prepare("oci:" + layout_);
  ASSERT_TRUE(rootfs.has_value()) << rootfs.error().to_string();
  EXPECT_EQ(os::read_file(rootfs->lower_dirs[0] + "/a", 10).value(), "native");
}

TEST_F(OciLayout, AnImageForAnotherMachineIsUnsupported) {
  write_index({add_image({add_layer("a", "x")}, "s390x")});
  EXPECT_EQ(provider_->prepare("oci:" + layout_).error().code, ErrorCode::kUnsupported);
}

TEST_F(OciLayout, ALayerWithOtherBytesThanItsDigestIsRefusedAndNotKept) {
  const Json layer = add_layer("a", "x");
  write_index({add_image({layer})});
  const std::string blob = layout_ + "/blobs/sha256/" + layer["digest"].as_string().substr(7);
  const std::string good = os::read_file(blob, 1 << 20).value();
  ASSERT_TRUE(os::write_file_atomic(blob, good + "x"));
  EXPECT_EQ(provider_->prepare("oci:" + layout_).error().code, ErrorCode::kDataCorrupt);
  ASSERT_TRUE(os::write_file_atomic(blob, good));
  EXPECT_TRUE(provider_->prepare("oci:" + layout_).has_value());
}

TEST_F(OciLayout, DigestsThatArePathsAreRefused) {
  Json layer = add_layer("a", "x");
  layer.set("digest", "sha256:../../../../etc/passwd");
  write_index({add_image({layer})});
  EXPECT_EQ(provider_->prepare("oci:" + layout_).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(OciLayout, UnknownLayerTypesAreUnsupported) {
  write_index({add_image({add_layer("a", "x", "application/vnd.oci.image.layer.v1.tar+gzip+encrypted")})});
  EXPECT_EQ(provider_->prepare("oci:" + layout_).error().code, ErrorCode::kUnsupported);
}

TEST_F(OciLayout, LayersAreUnpackedOnceAlsoByManyCallers) {
  write_index({add_image({add_layer("a", "x")})});
  std::vector<std::thread> callers;
  std::vector<ino_t> inodes(4);
  for (ino_t& inode : inodes) {
    callers.emplace_back([&] {
      const auto rootfs = provider_->prepare("oci:" + layout_);
      struct stat info{};
      if (rootfs && ::stat((rootfs->lower_dirs[0] + "/a").c_str(), &info) == 0) {
        inode = info.st_ino;
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_NE(inodes[0], 0U);
  EXPECT_EQ(inodes, std::vector<ino_t>(4, inodes[0]));
}

TEST_F(OciLayout, AMissingLayoutIsNotFound) {
  EXPECT_EQ(provider_->prepare("oci:/nonexistent").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(provider_->prepare("oci:relative").error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace busbar::data

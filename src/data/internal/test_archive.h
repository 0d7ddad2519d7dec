#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

#include <string>

namespace busbar::data {

enum class Compression { kNone, kGzip, kZstd };

/// Writes a tar file, entry by entry, also entries that no honest tool would write.
class TestArchive {
 public:
  TestArchive(const std::string& path, Compression compression) : writer_(archive_write_new()) {
    if (compression == Compression::kGzip) {
      archive_write_add_filter_gzip(writer_);
    } else if (compression == Compression::kZstd) {
      archive_write_add_filter_zstd(writer_);
    }
    archive_write_set_format_pax_restricted(writer_);
    EXPECT_EQ(archive_write_open_filename(writer_, path.c_str()), ARCHIVE_OK) << archive_error_string(writer_);
  }
  TestArchive(const TestArchive&) = delete;
  TestArchive& operator=(const TestArchive&) = delete;
  ~TestArchive() {
    archive_write_close(writer_);
    archive_write_free(writer_);
  }

  TestArchive& file(const std::string& name, const std::string& content, unsigned mode = 0644) {
    add(name, AE_IFREG, mode, content, {}, {});
    return *this;
  }
  TestArchive& dir(const std::string& name, unsigned mode = 0755) {
    add(name, AE_IFDIR, mode, {}, {}, {});
    return *this;
  }
  TestArchive& link(const std::string& name, const std::string& target) {
    add(name, AE_IFLNK, 0777, {}, target, {});
    return *this;
  }
  TestArchive& hard_link(const std::string& name, const std::string& target) {
    add(name, AE_IFREG, 0644, {}, {}, target);
    return *this;
  }

 private:
  void add(const std::string& name, unsigned type, unsigned mode, const std::string& content,
           const std::string& symlink, const std::string& hardlink) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, mode);
    archive_entry_set_mtime(entry, 1'700'000'000, 0);
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    if (!symlink.empty()) {
      archive_entry_set_symlink(entry, symlink.c_str());
    }
    if (!hardlink.empty()) {
      archive_entry_set_hardlink(entry, hardlink.c_str());
    }
    EXPECT_EQ(archive_write_header(writer_, entry), ARCHIVE_OK) << archive_error_string(writer_);
    if (!content.empty()) {
      archive_write_data(writer_, content.data(), content.size());
    }
    archive_entry_free(entry);
  }

  archive* writer_;
};

}  // namespace busbar::data

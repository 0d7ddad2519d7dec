#include "engine/local/internal/report_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/files.h"
#include "os/log.h"

namespace busbar::engine {
namespace {

constexpr std::size_t kChunk = 1 << 20;

}  // namespace

ReportChunk read_report(const std::string& path, std::uint64_t offset) {
  ReportChunk chunk{.offset = offset};
  // Not followed and not waited for: the task could have put a link or a FIFO there.
  const auto fd = os::open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat info{};
  if (!fd || ::fstat(fd->get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return chunk;
  }
  std::string bytes(kChunk, '\0');
  const ssize_t size = ::pread(fd->get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
  if (size <= 0) {
    return chunk;
  }
  bytes.resize(static_cast<std::size_t>(size));
  std::size_t begin = 0;
  for (std::size_t end = bytes.find('\n'); end != std::string::npos; end = bytes.find('\n', begin)) {
    if (end > begin) {
      chunk.lines.push_back(bytes.substr(begin, end - begin));
    }
    begin = end + 1;
  }
  chunk.has_more = bytes.size() == kChunk;
  if (begin == 0 && chunk.has_more) {
    LOG(kWarning, "report_line_too_long", {{"path", path}, {"limit_bytes", kChunk}});
    begin = bytes.size();
  }
  chunk.offset = offset + begin;
  return chunk;
}

}  // namespace busbar::engine

#include "os/xz.h"

#include <lzma.h>

#include <array>
#include <memory>

#include <fmt/format.h>

namespace busbar::os {
namespace {

constexpr std::string_view kMagic{
    "\xFD"
    "7zXZ\0",
    6};
constexpr std::uint64_t kMaxDecoderMemory = std::uint64_t{256} << 20U;

std::string reason_of(lzma_ret code) {
  switch (code) {
    case LZMA_MEM_ERROR:
      return "out of memory";
    case LZMA_MEMLIMIT_ERROR:
      return fmt::format("it needs more than {} MiB to unpack", kMaxDecoderMemory >> 20U);
    case LZMA_FORMAT_ERROR:
      return "not an .xz file";
    case LZMA_OPTIONS_ERROR:
      return "made with options that are not known here";
    case LZMA_BUF_ERROR:
      return "it ends too early";
    default:
      return "damaged";
  }
}

}  // namespace

bool is_xz(std::string_view bytes) {
  return bytes.starts_with(kMagic);
}

Result<std::string> unpack_xz(std::string_view bytes, std::size_t max_bytes) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, kMaxDecoderMemory, LZMA_CONCATENATED) != LZMA_OK) {
    return make_error(ErrorCode::kResourceExhausted, "no memory to unpack .xz bytes");
  }
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> guard(&stream, lzma_end);
  stream.next_in = reinterpret_cast<const std::uint8_t*>(bytes.data());
  stream.avail_in = bytes.size();
  std::string text;
  std::array<std::uint8_t, 1 << 16> buffer;
  lzma_ret code = LZMA_OK;
  while (code == LZMA_OK) {
    stream.next_out = buffer.data();
    stream.avail_out = buffer.size();
    code = lzma_code(&stream, LZMA_FINISH);
    text.append(reinterpret_cast<const char*>(buffer.data()), buffer.size() - stream.avail_out);
    if (text.size() > max_bytes) {
      return make_error(ErrorCode::kResourceExhausted,
                        fmt::format("the .xz bytes unpack to more than {} bytes", max_bytes));
    }
  }
  if (code != LZMA_STREAM_END) {
    return make_error(ErrorCode::kDataCorrupt, "cannot unpack the .xz bytes: " + reason_of(code));
  }
  return text;
}

}  // namespace busbar::os

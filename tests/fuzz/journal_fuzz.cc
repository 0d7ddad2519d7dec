#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/hash.h"
#include "sched/core.h"
#include "sched/journal.h"

namespace {

using busbar::sched::Core;
using busbar::sched::decode_frame;
using busbar::sched::encode_frame;

std::string framed(std::string_view payload) {
  std::string frame;
  for (const std::uint64_t word : {std::uint64_t{payload.size()}, std::uint64_t{busbar::crc32c(payload)}}) {
    for (int shift = 0; shift < 32; shift += 8) {
      frame.push_back(static_cast<char>((word >> shift) & 0xff));
    }
  }
  return frame.append(payload);
}

// Applies whatever frames follow each other: any event must be taken or refused, and leave the hash in step.
void apply_frames(std::string_view bytes) {
  Core core{busbar::sched::Policy{}};
  Core recovered{busbar::sched::Policy{}};
  while (true) {
    const auto frame = decode_frame(bytes);
    if (!frame) {
      return;
    }
    CHECK(decode_frame(encode_frame(frame->record))->record == frame->record,
          "a record changed on its way through bytes");
    if (core.apply(frame->record.event)) {
      CHECK(core.state_hash() == core.recompute_hash(), "incremental hash");
    }
    if (!recovered.apply_recorded(frame->record.event, frame->record.decisions)) {
      return;
    }
    CHECK(recovered.state_hash() == recovered.recompute_hash(), "incremental hash after recovery");
    bytes.remove_prefix(frame->size);
  }
}

}  // namespace

/// Three readers of foreign bytes: a journal file, frames, and a payload with its checksum made right, which random
/// changes would hardly ever hit.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)busbar::sched::replay_journal(bytes);
  (void)Core::restore(bytes);
  apply_frames(bytes);
  apply_frames(framed(bytes));
  return 0;
}

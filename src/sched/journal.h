#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sched/events.h"

namespace busbar::sched {

class Core;

/// One step: an event, what was decided, and the state's hash after it.
struct JournalRecord {
  std::uint64_t sequence = 0;  ///< From 1, without gaps.
  Event event = {};
  std::vector<Decision> decisions = {};
  std::uint64_t state_hash = 0;
  friend bool operator==(const JournalRecord&, const JournalRecord&) = default;
};

/// Frame: u32 length of the payload, u32 CRC-32C of the payload, payload (format version, sequence, event, decisions,
/// hash); all little-endian. The same frames are rows of the store and the bytes of `busbar journal export`.
std::string encode_frame(const JournalRecord& record);
struct DecodedFrame {
  JournalRecord record = {};
  std::size_t size = 0;    ///< Bytes taken from the input.
  bool is_current = true;  ///< False: of an older format, so its hash is not that of this build's state.
};
/// kDataCorrupt names what is wrong (length, checksum, field). Safe on any bytes.
Result<DecodedFrame> decode_frame(std::string_view bytes);

/// A journal file: header (magic "BBJ1", build id, snapshot that it starts from), then frames.
struct JournalHeader {
  std::string build_id = {};
  std::string snapshot = {};  ///< Core::snapshot(); empty: starts from an empty core with the default policy.
};
std::string encode_journal_header(const JournalHeader& header);

struct ReplayReport {
  std::uint64_t steps = 0;
  std::uint64_t steps_taken = 0;  ///< Of those, in an older format: taken as recorded, not decided again.
  std::uint64_t final_hash = 0;
  bool is_identical = true;
  std::uint64_t first_difference = 0;  ///< Sequence of the first step that differs; 0 if none.
  std::string difference = {};         ///< What was recorded, what came out now.
};
/// Decides every step again and compares decisions and hashes. kDataCorrupt for unreadable input.
Result<ReplayReport> replay_journal(std::string_view file_bytes);

}  // namespace busbar::sched

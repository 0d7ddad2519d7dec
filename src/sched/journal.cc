#include "sched/journal.h"

#include <algorithm>
#include <variant>

#include <fmt/format.h>

#include "base/binary.h"
#include "base/hash.h"
#include "sched/core.h"
#include "sched/internal/codec.h"

namespace busbar::sched {
namespace {

using internal::kFormatVersion;

constexpr std::string_view kMagic = "BBJ1";
constexpr std::size_t kFrameHeader = 8;
/// A header holds a snapshot; no frame or header is near this.
constexpr std::uint32_t kMaxPayload = 1u << 30;

std::string encode_payload(const JournalRecord& record) {
  BinaryWriter out;
  out.varint(kFormatVersion);
  out.varint(record.sequence);
  internal::encode(out, record.event);
  out.varint(record.decisions.size());
  for (const Decision& decision : record.decisions) {
    internal::encode(out, decision);
  }
  out.u64(record.state_hash);
  return out.take();
}

// Whether this build can read it; sets how.
bool take_format(internal::FieldReader& in, std::uint64_t version) {
  const bool is_known = version >= 1 && version <= kFormatVersion;
  in.set_format(is_known ? static_cast<std::uint32_t>(version) : kFormatVersion);
  return is_known;
}

std::string framed(std::string_view payload) {
  BinaryWriter out;
  out.u32(static_cast<std::uint32_t>(payload.size()));
  out.u32(crc32c(payload));
  return out.take().append(payload);
}

Result<std::string_view> unframe(std::string_view bytes) {
  BinaryReader in(bytes);
  const std::uint32_t length = in.u32();
  const std::uint32_t checksum = in.u32();
  if (!in.ok() || length > kMaxPayload || length > in.remaining()) {
    return make_error(ErrorCode::kDataCorrupt,
                      in.ok() ? fmt::format("length: frame of {} bytes, but {} follow", length, in.remaining())
                              : fmt::format("length: frame header cut off after {} bytes", bytes.size()));
  }
  const std::string_view payload = bytes.substr(kFrameHeader, length);
  if (crc32c(payload) != checksum) {
    return make_error(ErrorCode::kDataCorrupt,
                      fmt::format("checksum: recorded {:08x}, found {:08x}", checksum, crc32c(payload)));
  }
  return payload;
}

struct DecodedHeader {
  JournalHeader header = {};
  std::size_t size = 0;
};

Result<DecodedHeader> decode_journal_header(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) {
    return make_error(ErrorCode::kDataCorrupt, "not a journal: it does not begin with BBJ1");
  }
  const auto payload = unframe(bytes.substr(kMagic.size()));
  if (!payload) {
    return with_context("journal header is damaged", payload.error());
  }
  internal::FieldReader in(*payload);
  const std::uint64_t version = in.raw().varint();
  if (!take_format(in, version) && in.ok()) {
    return make_error(ErrorCode::kUnsupported,
                      fmt::format("journal of format {}; this build reads 1 to {}", version, kFormatVersion));
  }
  DecodedHeader decoded = {.size = kMagic.size() + kFrameHeader + payload->size()};
  decoded.header.build_id = in.text();
  decoded.header.snapshot = in.text();
  if (!in.ok() || !in.at_end()) {
    return make_error(ErrorCode::kDataCorrupt, "journal header is damaged: field");
  }
  return decoded;
}

std::string decision_text(const Decision& decision) {
  struct Writer {
    std::string operator()(const Place& d) const {
      return fmt::format("place {} on {} tasks", d.attempt.to_string(), d.placement.tasks.size());
    }
    std::string operator()(const Stop& d) const {
      return fmt::format("stop {} ({})", d.attempt.to_string(), static_cast<int>(d.reason));
    }
    std::string operator()(const Requeue& d) const { return fmt::format("requeue {}", d.job.value); }
    std::string operator()(const Finish& d) const {
      return fmt::format("finish {} {}", d.job.value, model::job_state_name(d.state));
    }
    std::string operator()(const Refuse& d) const { return fmt::format("refuse {}: {}", d.job.value, d.reason); }
    std::string operator()(const Block& d) const {
      return fmt::format("{} {}", d.is_blocked ? "block" : "unblock", d.job.value);
    }
    std::string operator()(const Claim& d) const {
      return d.placement.tasks.empty() ? fmt::format("give up the claim of {}", d.job.value)
                                       : fmt::format("claim {} tasks for {}", d.placement.tasks.size(), d.job.value);
    }
    std::string operator()(const EndHold& d) const { return fmt::format("end the hold of {}", d.job.value); }
    std::string operator()(const Reserve& d) const {
      return fmt::format("reserve {} nodes for {}", d.nodes.size(), d.job.value);
    }
    std::string operator()(const Extend& d) const {
      return fmt::format("extend {} by {} tasks", d.attempt.to_string(), d.added.tasks.size());
    }
    std::string operator()(const Shrink& d) const {
      return fmt::format("shrink {} to {} tasks", d.attempt.to_string(), d.kept);
    }
  };
  return std::visit(Writer{}, decision);
}

std::string compare_decisions(const std::vector<Decision>& recorded, const std::vector<Decision>& now) {
  for (std::size_t i = 0; i < std::max(recorded.size(), now.size()); ++i) {
    if (i >= recorded.size() || i >= now.size() || recorded[i] != now[i]) {
      const auto text = [i](const std::vector<Decision>& all) {
        return i < all.size() ? decision_text(all[i]) : std::string("nothing");
      };
      const bool reads_alike = text(recorded) == text(now);
      return fmt::format("decision {}: recorded {}, now {}{}", i + 1, text(recorded), text(now),
                         reads_alike ? " with other details" : "");
    }
  }
  return {};
}

// What was recorded in an older format was decided by older rules: it is taken, as recovery does.
std::string take_step(Core& core, const JournalRecord& record) {
  const auto taken = core.apply_recorded(record.event, record.decisions);
  return taken ? std::string() : taken.error().to_string();
}

// Empty: the step came out as recorded.
std::string repeat_step(Core& core, const JournalRecord& record) {
  const auto decisions = core.apply(record.event);
  if (!decisions) {
    return fmt::format("recorded an event that is refused now: {}", decisions.error().to_string());
  }
  if (std::string difference = compare_decisions(record.decisions, *decisions); !difference.empty()) {
    return difference;
  }
  if (core.state_hash() != record.state_hash) {
    return fmt::format("state hash: recorded {:016x}, now {:016x}", record.state_hash, core.state_hash());
  }
  return {};
}

Result<Core> starting_core(const JournalHeader& header) {
  if (header.snapshot.empty()) {
    return Core(Policy{});
  }
  auto core = Core::restore(header.snapshot);
  if (!core) {
    return with_context("the journal's snapshot cannot be read", core.error());
  }
  return core;
}

}  // namespace

std::string encode_frame(const JournalRecord& record) {
  return framed(encode_payload(record));
}

Result<DecodedFrame> decode_frame(std::string_view bytes) {
  TRY_ASSIGN(const std::string_view payload, unframe(bytes));
  internal::FieldReader in(payload);
  const std::uint64_t version = in.raw().varint();
  if (!take_format(in, version) && in.ok()) {
    return make_error(ErrorCode::kDataCorrupt,
                      fmt::format("field: record of format {}; this build reads 1 to {}", version, kFormatVersion));
  }
  DecodedFrame frame = {.size = kFrameHeader + payload.size(), .is_current = version == kFormatVersion};
  frame.record.sequence = in.raw().varint();
  frame.record.event = internal::decode_event(in);
  for (std::size_t left = in.raw().count(); left > 0 && in.ok(); --left) {
    frame.record.decisions.push_back(internal::decode_decision(in));
  }
  frame.record.state_hash = in.raw().u64();
  if (!in.ok() || !in.at_end()) {
    return make_error(ErrorCode::kDataCorrupt, fmt::format("field: record {} is malformed", frame.record.sequence));
  }
  return frame;
}

std::string encode_journal_header(const JournalHeader& header) {
  BinaryWriter out;
  out.varint(kFormatVersion);
  out.text(header.build_id);
  out.text(header.snapshot);
  return std::string(kMagic) + framed(out.bytes());
}

Result<ReplayReport> replay_journal(std::string_view file_bytes) {
  TRY_ASSIGN(const DecodedHeader decoded, decode_journal_header(file_bytes));
  TRY_ASSIGN(Core core, starting_core(decoded.header));
  ReplayReport report = {.final_hash = core.state_hash()};
  std::uint64_t previous = 0;
  for (std::size_t at = decoded.size; at < file_bytes.size();) {
    const auto frame = decode_frame(file_bytes.substr(at));
    if (!frame) {
      return with_context(fmt::format("journal is damaged at byte {}, after record {}", at, previous), frame.error());
    }
    if (previous != 0 && frame->record.sequence != previous + 1) {
      return make_error(ErrorCode::kDataCorrupt,
                        fmt::format("journal has record {} after record {}", frame->record.sequence, previous));
    }
    previous = frame->record.sequence;
    at += frame->size;
    ++report.steps;
    report.steps_taken += frame->is_current ? 0 : 1;
    report.difference = frame->is_current ? repeat_step(core, frame->record) : take_step(core, frame->record);
    report.final_hash = core.state_hash();
    if (!report.difference.empty()) {
      report.is_identical = false;
      report.first_difference = previous;
      return report;
    }
  }
  return report;
}

}  // namespace busbar::sched

#pragma once

#include <memory>

#include "base/binary.h"
#include "model/cluster.h"
#include "model/job.h"
#include "sched/core.h"
#include "sched/events.h"
#include "sched/fairshare/history.h"
#include "sched/learn/habits.h"
#include "sched/place/experience.h"

namespace busbar::sched::internal {

/// Of journal records and snapshots. Grows when the bytes change, or when the same state and event may give other
/// decisions; readers take every older one: a field that came later is read `if (in.format() >= N)`. Values are written
/// in the newest format only, so hashes recorded under an older one cannot be compared.
///   1  first
///   2  the tree of queues, with what they used; preemption
///   3  what a gang keeps after a failure, gang sizes, anti-affinity; promises and reservations; run times
///   4  backfilled jobs that make room for promised ones; changes of the policy
///   5  what tasks looked like, which packing rests on
///   6  gangs that grow and move by a stop; the learned order
///   7  live gangs, to which tasks are added and which give some up while they run
inline constexpr std::uint32_t kFormatVersion = 7;

/// The one binary form of the core's values: journal records, snapshots and object hashes all use it, so a field that
/// is added here is in all three. Readers are safe on any bytes: an enumerator out of range or a count beyond the input
/// makes `FieldReader::ok()` false.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : in_(bytes) {}

  BinaryReader& raw() { return in_; }
  /// Of what follows; kFormatVersion until a header said otherwise.
  std::uint32_t format() const { return format_; }
  void set_format(std::uint32_t format) { format_ = format; }
  bool ok() const { return is_ok_ && in_.ok(); }
  bool at_end() const { return in_.at_end(); }
  /// For values that are well-formed bytes but make no sense.
  void fail() { is_ok_ = false; }

  /// A varint that must be at most `maximum`.
  std::uint64_t bounded(std::uint64_t maximum);
  template <class E>
  E enumerator(E last) {
    return static_cast<E>(bounded(static_cast<std::uint64_t>(last)));
  }
  std::uint32_t number32() { return static_cast<std::uint32_t>(bounded(UINT32_MAX)); }
  std::uint16_t number16() { return static_cast<std::uint16_t>(bounded(UINT16_MAX)); }
  std::int32_t signed32();
  std::string text() { return in_.text(); }

 private:
  BinaryReader in_;
  std::uint32_t format_ = kFormatVersion;
  bool is_ok_ = true;
};

void encode(BinaryWriter& out, const Policy& policy);
void encode(BinaryWriter& out, const model::Node& node);
void encode(BinaryWriter& out, const model::Queue& queue);
void encode(BinaryWriter& out, const fairshare::History& history);
void encode(BinaryWriter& out, const model::Reservation& reservation);
void encode(BinaryWriter& out, const JobRequest& request);
void encode(BinaryWriter& out, const model::Placement& placement);
struct Booking;
/// nullptr: none.
void encode(BinaryWriter& out, const Booking* booking);
std::shared_ptr<const Booking> decode_booking(FieldReader& in);
struct RunTimes;
void encode(BinaryWriter& out, const RunTimes& times);
RunTimes decode_run_times(FieldReader& in);
void encode(BinaryWriter& out, const place::Experience& experience);
/// Empty for formats without it; fails the reader if it makes no sense.
place::Experience decode_experience(FieldReader& in);
void encode(BinaryWriter& out, const learn::Habits& habits);
/// Same.
learn::Habits decode_habits(FieldReader& in);
void encode(BinaryWriter& out, const Event& event);
void encode(BinaryWriter& out, const Decision& decision);

Policy decode_policy(FieldReader& in);
model::Node decode_node(FieldReader& in);
model::Queue decode_queue(FieldReader& in);
fairshare::History decode_history(FieldReader& in);
model::Reservation decode_reservation(FieldReader& in);
JobRequest decode_request(FieldReader& in);
model::Placement decode_placement(FieldReader& in);
Event decode_event(FieldReader& in);
Decision decode_decision(FieldReader& in);

}  // namespace busbar::sched::internal

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "sched/internal/state.h"

namespace busbar::sched::fairshare {

/// Whose number is the tightest for a job.
struct Bound {
  enum class Kind {
    kLimit,      ///< Of its queue or one above.
    kGuarantee,  ///< It may not be evicted, so it may not borrow either.
  };
  Kind kind = Kind::kLimit;
  std::string queue = {};
  std::string chip = {};  ///< Empty: of all cards.
  std::int64_t used = 0;  ///< By others, in milli-cards.
  std::int64_t bound = 0;
};

/// How many tasks the job may start by quota, and what keeps it from more.
struct Room {
  std::int64_t tasks = 0;
  std::optional<Bound> bound = {};
};

/// What jobs that are ending, or might be stopped, give back to their queues and those above.
class Freed {
 public:
  void add(const internal::State& state, const internal::JobRecord& job) { change(state, job, 1); }
  void remove(const internal::State& state, const internal::JobRecord& job) { change(state, job, -1); }
  /// A part of what a job has, or what one would take.
  void add(const internal::State& state, const JobRequest& request, const internal::Granted& part) {
    change(state, request, part, 1);
  }
  void remove(const internal::State& state, const JobRequest& request, const internal::Granted& part) {
    change(state, request, part, -1);
  }
  /// What the job claims, as if it did not.
  void add_claim(const internal::State& state, const internal::JobRecord& job);
  /// nullptr: nothing.
  const CardSums* find(const std::string& queue) const;
  /// The same of jobs that may not be evicted.
  const CardSums* find_fixed(const std::string& queue) const;

 private:
  void change(const internal::State& state, const internal::JobRecord& job, int sign);
  void change(const internal::State& state, const JobRequest& request, const internal::Granted& granted, int sign);

  std::map<std::string, CardSums> all_;
  std::map<std::string, CardSums> fixed_;
};

enum class Used { kNow, kNothing };
struct Ask {
  std::int64_t each = 0;         ///< Milli-cards of one task.
  std::int64_t most = 0;         ///< Tasks.
  Used used = Used::kNow;        ///< kNothing: were the job alone.
  const Freed* freed = nullptr;  ///< Counts as unused.
};
Room room_for(const internal::State& state, const JobRequest& request, std::string_view chip, const Ask& ask);

/// Why no state of the cluster lets the job start under these queues; nullopt: some could.
std::optional<std::string> why_over_quota(const internal::State& state, const JobRequest& request);

/// "limit of queue \"vision\": 64 of 64 H100 cards are in use".
std::string describe(const Bound& bound);

}  // namespace busbar::sched::fairshare

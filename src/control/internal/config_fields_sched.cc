#include "control/internal/config_fields.h"

// What an operator sets of the core's policy: docs/scheduling.md.
namespace busbar::control {

std::vector<ConfigField> scheduling_fields() {
  using Config = ServerConfig;
  using enum ConfigType;
  return {
      {.key = "sched_start_deadline",
       .type = kDuration,
       .doc = "How long a gang may take from its placement until it runs; then it is stopped and placed again.",
       .member = &Config::sched_start_deadline_ms,
       .min = 1'000,
       .max = kDayMs},
      {.key = "sched_hold",
       .type = kDuration,
       .doc = "How long a gang that lost a task to the platform keeps its other cards while a replacement is sought; "
              "0: not at all.",
       .member = &Config::sched_hold_ms,
       .max = kDayMs},
      {.key = "sched_max_promises",
       .type = kInteger,
       .doc = "How many waiting jobs are promised a start at a time, one a queue at most; 0: none, so that small jobs "
              "may starve large ones.",
       .member = &Config::sched_max_promises,
       .max = 10'000},
      {.key = "sched_backfill_patience",
       .type = kDuration,
       .doc = "How long a promised job waits before time limits of the jobs behind it are not trusted any more.",
       .member = &Config::sched_backfill_patience_ms,
       .max = 366 * kDayMs},
      {.key = "sched_backfill",
       .type = kChoice,
       .doc =
           "Jobs that would delay a promised one: `strict`: they wait; `yield`: they start and make room for it, which "
           "fills more cards, but one that made room may later delay what others were promised.",
       .member = &Config::sched_backfill,
       .choices = {"yield", "strict"}},
      {.key = "sched_eviction_interval",
       .type = kDuration,
       .doc = "A job is evicted at most once in this time.",
       .member = &Config::sched_eviction_interval_ms,
       .max = 366 * kDayMs},
      {.key = "sched_claim_timeout",
       .type = kDuration,
       .doc = "How long cards are kept for a job while those it takes them from are stopping.",
       .member = &Config::sched_claim_timeout_ms,
       .min = 1'000,
       .max = 366 * kDayMs},
      {.key = "sched_checkpoint_credit",
       .type = kDuration,
       .doc = "Work since its last checkpoint that an eviction counts for at most, for jobs that do not say how often "
              "they save.",
       .member = &Config::sched_checkpoint_credit_ms,
       .max = 366 * kDayMs},
      {.key = "sched_restart_cost",
       .type = kDuration,
       .doc = "What a restart is reckoned to cost a job beside the work since its last checkpoint, when it is asked "
              "whether it pays to stop it so that it goes on with more nodes.",
       .member = &Config::sched_restart_cost_ms,
       .max = 366 * kDayMs},
      {.key = "sched_live_resize_cost",
       .type = kDuration,
       .doc = "What a live gang is reckoned to lose when tasks are added to it: those that it has meet anew.",
       .member = &Config::sched_live_resize_cost_ms,
       .max = 366 * kDayMs},
      {.key = "sched_live_resize_interval",
       .type = kDuration,
       .doc = "A live gang grows at most once in this time, and not so soon after it gave up tasks.",
       .member = &Config::sched_live_resize_interval_ms,
       .max = 366 * kDayMs},
      {.key = "sched_order",
       .type = kChoice,
       .doc =
           "Who of one priority is served first: `age`: queues by fair share, in a queue by submission; `learned`: "
           "whoever is expected to end soonest for its cards, by how long jobs of its queue and size ran, and others "
           "are stopped for it: short mean times, no fair share.",
       .member = &Config::sched_order,
       .choices = {"age", "learned"}},
      {.key = "sched_max_moves",
       .type = kInteger,
       .doc = "Jobs that are stopped in an hour to go on elsewhere from their last checkpoint, so that a waiting job "
              "finds its cards side by side; 0: none.",
       .member = &Config::sched_max_moves,
       .max = 10'000},
      {.key = "sched_half_life",
       .type = kDuration,
       .doc = "What a queue used this long ago counts half in its share.",
       .member = &Config::sched_half_life_ms,
       .min = 60'000,
       .max = 366 * kDayMs},
  };
}

}  // namespace busbar::control

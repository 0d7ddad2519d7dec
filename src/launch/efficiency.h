#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/units.h"
#include "model/job.h"

namespace busbar::launch {

/// Where a card-second of a job went; each belongs to exactly one (design §1, "efficiency accounted per job").
/// queue: asked for, not granted · image: rootfs being made · start: containers, barrier, rendezvous, until the first
/// step (or until user code runs, for jobs without reports) · compute: user code at work · checkpoint: the SDK said so
/// · idle: running, but no report for longer than `idle_after_ms` although the job reports steps · lost: work after the
/// last checkpoint of an attempt that failed or was preempted, and the time to stop it.
enum class Bucket { kQueue, kImage, kStart, kCompute, kCheckpoint, kIdle, kLost };
inline constexpr std::size_t kBucketCount = 7;
std::string_view bucket_name(Bucket bucket);

/// One line of report.jsonl, as sdk/python/busbar.py writes it (docs/sdk.md).
struct Report {
  enum class Kind { kStep, kCheckpointBegin, kCheckpointEnd, kMetric, kMessage };
  Kind kind = Kind::kMessage;
  TimeMs time_ms = 0;
  std::int64_t step = 0;
  std::int64_t total_steps = 0;  ///< 0: unknown.
  std::int64_t samples = 0;      ///< Since the job began, all processes together.
  std::int64_t tokens = 0;
  double loss = 0;
  bool has_loss = false;
  std::vector<std::pair<std::string, double>> metrics = {};
  std::string text = {};  ///< Message, or the checkpoint's path.
};
/// kInvalidArgument for a line that is not ours: it is counted and left out, never fatal.
Result<Report> parse_report_line(std::string_view line);

/// Without a report for this long, or ten times the job's own mean interval, a job that reports steps is idle.
inline constexpr std::int64_t kIdleAfterMs = 60'000;

/// Follows one job through its life. Fed with facts in time order; integer card-milliseconds only, so that the sum of
/// the buckets is exactly cards x (end - submitted): those that it asked for while it waits, those that it has while it
/// has some (`resized`). A fact from before the last one counts as of the last one's time.
/// A plain value, serialisable, deterministic.
class EfficiencyAccount {
 public:
  /// `milli_cards`: of the whole gang (1000 x tasks where it has no cards).
  EfficiencyAccount(TimeMs submitted_ms, std::int64_t milli_cards);

  void placed(TimeMs at_ms);  ///< An attempt got its cards: image begins.
  /// From here on the attempt has so many: a gang of changing size got fewer than the most, or was resized live.
  void resized(TimeMs at_ms, std::int64_t milli_cards);
  void image_ready(TimeMs at_ms);  ///< start begins.
  /// Released from the barrier. Compute until the job says that it reports steps; then this time becomes start.
  void started(TimeMs at_ms);
  void report(const Report& report);
  /// The attempt was told to stop: what follows is lost.
  void stopping(TimeMs at_ms);
  /// The attempt is over. Unless it succeeded or was cancelled, its compute after the last checkpoint becomes lost.
  /// Back to queue unless `finished` follows.
  void attempt_ended(TimeMs at_ms, model::ExitClass exit_class);
  void finished(TimeMs at_ms);

  /// That it has now, or asks for while it waits.
  std::int64_t milli_cards() const { return milli_cards_; }
  /// Milli-card-milliseconds up to `now_ms` (up to the end, once finished), by bucket.
  std::array<std::int64_t, kBucketCount> totals(TimeMs now_ms) const;

  struct Progress {
    std::int64_t step = 0;
    std::int64_t total_steps = 0;
    std::optional<double> loss = {};
    std::optional<double> steps_per_second = {};  ///< Over the last reports.
    std::optional<double> samples_per_second = {};
    std::optional<double> tokens_per_second = {};
    std::optional<std::int64_t> eta_ms = {};
    std::vector<std::pair<std::string, double>> metrics = {};  ///< Last value of each, in order of first appearance.
    TimeMs last_report_ms = 0;
    std::string last_checkpoint = {};
    std::string message = {};  ///< The last one.
    friend bool operator==(const Progress&, const Progress&) = default;
  };
  Progress progress() const;

  Json to_json() const;
  static Result<EfficiencyAccount> from_json(const Json& json);
  friend bool operator==(const EfficiencyAccount&, const EfficiencyAccount&) = default;

 private:
  /// How an attempt stands with its reports.
  enum class Reporting { kSilent, kAnnounced, kSteps };
  struct Sample {
    TimeMs time_ms = 0;
    std::int64_t step = 0;
    std::int64_t samples = 0;
    std::int64_t tokens = 0;
    friend bool operator==(const Sample&, const Sample&) = default;
  };
  using Totals = std::array<std::int64_t, kBucketCount>;

  /// What the time from `since_ms_` to `at_ms` adds, split where the job fell idle.
  Totals pending(TimeMs at_ms) const;
  std::int64_t idle_after_ms() const;
  void settle(TimeMs at_ms);
  void move(Bucket from, Bucket to, std::int64_t amount);
  void take_step(const Report& report);

  TimeMs submitted_ms_ = 0;
  std::int64_t asked_milli_cards_ = 0;
  std::int64_t milli_cards_ = 0;
  Totals settled_ = {};
  Bucket current_ = Bucket::kQueue;
  TimeMs since_ms_ = 0;
  bool is_finished_ = false;
  Reporting reporting_ = Reporting::kSilent;
  std::int64_t unsaved_compute_ = 0;  ///< Of this attempt, after its last checkpoint; part of settled compute.
  TimeMs first_step_ms_ = 0;          ///< Of this attempt.
  std::int64_t step_reports_ = 0;     ///< Of this attempt.
  std::vector<Sample> window_ = {};   ///< The last step reports of this attempt, oldest first.
  Progress progress_ = {};            ///< Without the rates, which follow from `window_`.
};

/// Model FLOPs utilisation: achieved FLOP/s over the cards' dense peak at the precision. nullopt if the job gives no
/// FLOPs or the chip has no peak. `denominator` names what was compared with: "nominal-dense fp32". `peak_kind` says
/// what the peak is: "nominal-dense" or "measured-GEMM".
struct Mfu {
  double value = 0;
  std::string denominator = {};
};
std::optional<Mfu> model_flops_utilisation(const model::JobSpec& spec, const EfficiencyAccount::Progress& progress,
                                           std::int64_t peak_gflops_per_card, std::int64_t milli_cards,
                                           std::string_view peak_kind = "nominal-dense");

}  // namespace busbar::launch

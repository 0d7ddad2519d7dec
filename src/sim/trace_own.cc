#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "model/cluster.h"
#include "sim/csv.h"
#include "sim/trace.h"

namespace busbar::sim {
namespace {

constexpr std::int64_t kMaxTimeMs = std::int64_t{100} * 366 * 86'400'000;
constexpr std::int64_t kMaxNodes = 100'000;
constexpr std::int64_t kMaxMilliPerNode = 4'096'000;
constexpr std::int64_t kMaxPriority = 1'000'000;
constexpr std::int64_t kMaxMilliCpus = 100'000'000;
constexpr std::int64_t kMiB = 1 << 20;

std::optional<std::size_t> optional_column(const CsvReader& csv, std::string_view name) {
  return csv.has_column(name) ? std::optional(*csv.column(name)) : std::nullopt;
}

/// The columns of our own format that a file has.
struct OwnColumns {
  std::size_t submit;
  std::size_t duration;
  std::size_t cards;
  std::optional<std::size_t> nodes, queue, user, priority, time_limit, checkpoint, topology;
};

Result<OwnColumns> own_columns(const CsvReader& csv) {
  OwnColumns columns{};
  TRY_ASSIGN(columns.submit, csv.column("submit_s"));
  TRY_ASSIGN(columns.duration, csv.column("duration_s"));
  TRY_ASSIGN(columns.cards, csv.column("cards"));
  columns.nodes = optional_column(csv, "nodes");
  columns.queue = optional_column(csv, "queue");
  columns.user = optional_column(csv, "user");
  columns.priority = optional_column(csv, "priority");
  columns.time_limit = optional_column(csv, "time_limit_s");
  columns.checkpoint = optional_column(csv, "checkpoint_s");
  columns.topology = optional_column(csv, "topology");
  return columns;
}

Result<std::string> read_name(const CsvReader& csv, std::optional<std::size_t> column) {
  if (!column || trim(csv.text(*column)).empty()) {
    return std::string("default");
  }
  std::string name(trim(csv.text(*column)));
  if (!model::is_valid_name(name)) {
    return csv.field_error(*column, "is no name: 1 to 63 of a-z 0-9 - _ . from a letter or digit on");
  }
  return name;
}

Result<std::int64_t> read_optional_ms(const CsvReader& csv, std::optional<std::size_t> column) {
  if (!column || trim(csv.text(*column)).empty()) {
    return 0;
  }
  return csv.thousandths(*column, 0, kMaxTimeMs);
}

Result<TraceJob> read_job(const CsvReader& csv, const OwnColumns& columns, Trace& trace) {
  TraceJob job;
  TRY_ASSIGN(job.submit_ms, csv.thousandths(columns.submit, 0, kMaxTimeMs));
  TRY_ASSIGN(job.work_ms, csv.thousandths(columns.duration, 1, kMaxTimeMs));
  TRY_ASSIGN(job.milli_per_node, csv.thousandths(columns.cards, 1, kMaxMilliPerNode));
  if (job.milli_per_node > 1000 && job.milli_per_node % 1000 != 0) {
    return csv.field_error(columns.cards, "is neither a fraction of one card nor whole cards");
  }
  if (columns.nodes) {
    TRY_ASSIGN(const std::int64_t nodes, csv.integer(*columns.nodes, 1, kMaxNodes));
    job.nodes = static_cast<std::uint32_t>(nodes);
  }
  if (columns.priority && !trim(csv.text(*columns.priority)).empty()) {
    TRY_ASSIGN(const std::int64_t priority, csv.integer(*columns.priority, -kMaxPriority, kMaxPriority));
    job.priority = static_cast<std::int32_t>(priority);
  }
  TRY_ASSIGN(job.time_limit_ms, read_optional_ms(csv, columns.time_limit));
  TRY_ASSIGN(job.checkpoint_ms, read_optional_ms(csv, columns.checkpoint));
  if (columns.topology) {
    job.level = std::string(trim(csv.text(*columns.topology)));
    if (!job.level.empty() && job.level != "node" && job.level != "leaf" && job.level != "spine") {
      return csv.field_error(*columns.topology, "is none of node, leaf, spine");
    }
  }
  TRY_ASSIGN(const std::string queue, read_name(csv, columns.queue));
  job.queue = trace.queue_index(queue);
  TRY_ASSIGN(const std::string user, read_name(csv, columns.user));
  job.user = trace.user_index(user);
  return job;
}

/// Of an openb pod list with times: the pods that were scheduled and deleted.
Result<std::optional<TraceJob>> read_pod(const CsvReader& csv, const std::array<std::size_t, 7>& columns,
                                         Trace& trace) {
  const auto [cpu, memory, gpus, milli, creation, deletion, scheduled] = columns;
  TraceJob job{.queue = 0};
  TRY_ASSIGN(job.cpus_milli, csv.integer(cpu, 0, kMaxMilliCpus));
  TRY_ASSIGN(const std::int64_t memory_mib, csv.integer(memory, 0, INT64_MAX / kMiB));
  job.memory_bytes = memory_mib * kMiB;
  TRY_ASSIGN(const std::int64_t count, csv.integer(gpus, 0, kMaxMilliPerNode / 1000));
  TRY_ASSIGN(const std::int64_t each, csv.integer(milli, 0, 1000));
  TRY_ASSIGN(const std::int64_t created_s, csv.integer(creation, 0, kMaxTimeMs / 1000));
  job.submit_ms = created_s * 1000;
  if (trim(csv.text(deletion)).empty() || trim(csv.text(scheduled)).empty()) {
    return std::optional<TraceJob>();
  }
  TRY_ASSIGN(const std::int64_t deleted_s, csv.integer(deletion, 0, kMaxTimeMs / 1000));
  TRY_ASSIGN(const std::int64_t started_s, csv.integer(scheduled, 0, kMaxTimeMs / 1000));
  job.milli_per_node = count * each;
  job.work_ms = std::max<std::int64_t>(deleted_s - started_s, 1) * 1000;
  trace.queue_index("default");
  return std::optional(job);
}

}  // namespace

Result<Trace> read_own_trace(const std::string& name, std::string_view text) {
  TRY_ASSIGN(CsvReader csv, CsvReader::open(name, text));
  TRY_ASSIGN(const OwnColumns columns, own_columns(csv));
  Trace trace{.name = name};
  while (true) {
    TRY_ASSIGN(const bool has_row, csv.next());
    if (!has_row) {
      break;
    }
    TRY_ASSIGN(TraceJob job, read_job(csv, columns, trace));
    trace.jobs.push_back(std::move(job));
  }
  normalise(trace);
  return trace;
}

Result<Trace> read_openb_trace(const std::string& name, std::string_view text) {
  TRY_ASSIGN(CsvReader csv, CsvReader::open(name, text));
  std::array<std::size_t, 7> columns{};
  constexpr std::array<std::string_view, 7> kNames = {"cpu_milli",     "memory_mib",    "num_gpu",       "gpu_milli",
                                                      "creation_time", "deletion_time", "scheduled_time"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    TRY_ASSIGN(columns[i], csv.column(kNames[i]));
  }
  Trace trace{.name = name, .users = {"user"}};
  while (true) {
    TRY_ASSIGN(const bool has_row, csv.next());
    if (!has_row) {
      break;
    }
    TRY_ASSIGN(const std::optional<TraceJob> job, read_pod(csv, columns, trace));
    if (job) {
      trace.jobs.push_back(*job);
    }
  }
  normalise(trace);
  return trace;
}

}  // namespace busbar::sim

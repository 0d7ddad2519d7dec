#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "launch/internal/field_kinds.h"
#include "launch/internal/value_readers.h"
#include "model/spec_text.h"

// The section `service` of a job file.
namespace busbar::launch::internal {
namespace {

using model::JobSpec;

constexpr std::int64_t kMaxCount = 1'000'000;

/// The section exists as soon as one of its keys is read.
model::ServiceSpec& service_of(JobSpec& spec) {
  if (!spec.service) spec.service.emplace();
  return *spec.service;
}

model::CanaryPolicy& canary_of(JobSpec& spec) {
  model::ServiceSpec& service = service_of(spec);
  if (!service.canary) service.canary.emplace();
  return *service.canary;
}

void read_replicas(Reader& reader, const YamlNode& node) {
  const auto text = reader.scalar(node, "a number of replicas like 2 or 0..8");
  if (!text) return;
  if (const auto dash = text->find('-'); dash != std::string::npos && dash > 0) {
    reader.error(node, fmt::format("\"{}\" is not a number of replicas", *text), "write a range as 0..8");
    return;
  }
  if (const auto replicas = reader.value_or_report(node, model::parse_replicas(*text))) {
    service_of(reader.spec()).min_replicas = replicas->first;
    service_of(reader.spec()).max_replicas = replicas->second;
  }
}

std::string check_path(std::string_view path) {
  const bool is_printable = std::all_of(path.begin(), path.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return path.starts_with('/') && is_printable ? std::string() : fmt::format("\"{}\" is no path; begin with a /", path);
}

void read_health_path(Reader& reader, const YamlNode& node) {
  const auto path = reader.scalar(node, "a path like /healthz, or a map of path, every, timeout, failures, start");
  if (!path) return;
  if (const std::string wrong = check_path(*path); !wrong.empty()) {
    reader.error(node, wrong);
    return;
  }
  service_of(reader.spec()).health.path = *path;
}

bool is_host_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

void read_host(Reader& reader, const YamlNode& node) {
  const auto text = reader.scalar(node, "a host name");
  if (!text) return;
  const std::string host = to_lower(trim(*text));
  if (!is_host_name(host)) {
    reader.error(node, fmt::format("\"{}\" is no host name", *text), "write it without scheme and port");
    return;
  }
  service_of(reader.spec()).hosts.push_back(host);
}

void read_model(Reader& reader, const YamlNode& node) {
  const auto text = reader.scalar(node, "a model's name");
  if (!text) return;
  if (text->empty() || text->size() > 200) {
    reader.error(node, "a model's name has 1 to 200 characters");
    return;
  }
  service_of(reader.spec()).models.push_back(*text);
}

void read_error_rate(Reader& reader, const YamlNode& node) {
  const auto text = reader.scalar(node, "a share of failed requests like 0.05");
  if (!text) return;
  const auto permille = parse_milli(*text);
  if (!permille || *permille < 0 || *permille > 1000) {
    reader.error(node, fmt::format("\"{}\" is no share from 0 to 1", *text), "write 0.05 for 5 %");
    return;
  }
  canary_of(reader.spec()).abort_above_permille = static_cast<std::uint32_t>(*permille);
}

Field count_of(FieldInfo info, std::int64_t low, std::uint32_t model::ServiceLimits::* member) {
  return integer_field(std::move(info), low, kMaxCount, [member](JobSpec& spec, std::int64_t value) {
    service_of(spec).limits.*member = static_cast<std::uint32_t>(value);
  });
}

const Section& health_section() {
  static const Section kSection = {
      .fields = {
          text_field(
              {.name = "path",
               .help = "Asked for by GET; 2xx is healthy. Default: a connection is enough.",
               .aliases = {"readiness"}},
              [](JobSpec& spec, std::string value) { service_of(spec).health.path = std::move(value); }, check_path),
          duration_field({.name = "every", .help = "Between checks. Default: 1s."}, 10,
                         [](JobSpec& spec, std::int64_t value) { service_of(spec).health.every_ms = value; }),
          duration_field({.name = "timeout", .help = "Of one check. Default: 1s."}, 1,
                         [](JobSpec& spec, std::int64_t value) { service_of(spec).health.timeout_ms = value; }),
          integer_field(
              {.name = "failures", .help = "In a row, before a replica is given no more requests. Default: 3."}, 1,
              1'000,
              [](JobSpec& spec, std::int64_t value) {
                service_of(spec).health.failures = static_cast<std::uint32_t>(value);
              }),
          duration_field({.name = "start", .help = "How long a replica may take until it is ready. Default: 10m."}, 100,
                         [](JobSpec& spec, std::int64_t value) { service_of(spec).health.start_ms = value; })}};
  return kSection;
}

const Section& canary_section() {
  static const Section kSection = {
      .fields = {integer_field({.name = "weight", .help = "Percent of the requests. Default: 10."}, 1, 99,
                               [](JobSpec& spec, std::int64_t value) {
                                 canary_of(spec).weight = static_cast<std::uint32_t>(value);
                               }),
                 custom_field({.name = "abort_above_error_rate",
                               .help = "Share of failed requests beyond which the new revision is taken back. "
                                       "Default: 0.05."},
                              schema_of_types({"number", "string"}), read_error_rate),
                 duration_field({.name = "hold", .help = "How long it is watched. Default: 1m."}, 0,
                                [](JobSpec& spec, std::int64_t value) { canary_of(spec).hold_ms = value; })}};
  return kSection;
}

}  // namespace

const Section& service_section() {
  static const Section kSection =
      {.fields =
           {integer_field(
                {.name = "port", .help = "Where a replica listens. Absent (better): any free one, told by $PORT."}, 1,
                65'535,
                [](JobSpec& spec, std::int64_t value) { service_of(spec).port = static_cast<std::uint16_t>(value); }),
            custom_field({.name = "replicas", .help = "2, or 0..8 for as many as the requests need. Default: 1."},
                         schema_of_types({"integer", "string"}), read_replicas),
            integer_field(
                {.name = "target", .help = "Requests that one replica should have at once. Default: 8."}, 1, kMaxCount,
                [](JobSpec& spec, std::int64_t value) { service_of(spec).target = static_cast<std::uint32_t>(value); }),
            section_field({.name = "health", .help = "When a replica may be given requests."}, health_section(),
                          schema_of_types({"string"}), read_health_path),
            duration_field({.name = "drain",
                            .help = "How long a replica may finish what it has before it is stopped. Default: 30s."},
                           0, [](JobSpec& spec, std::int64_t value) { service_of(spec).drain_ms = value; }),
            list_field({.name = "hosts", .help = "Host names that lead to it.", .aliases = {"host"}},
                       schema_of_types({"string"}), read_host),
            list_field({.name = "models",
                        .help = "Values of \"model\" in OpenAI's requests that lead to it.",
                        .aliases = {"model"}},
                       schema_of_types({"string"}), read_model),
            count_of({.name = "concurrency",
                      .help = "Requests that one replica is given at once; 0: no bound. Default: 64."},
                     0, &model::ServiceLimits::concurrency),
            count_of({.name = "waiting", .help = "Requests that may wait for a replica; beyond: 503. Default: 1024."},
                     0, &model::ServiceLimits::waiting),
            duration_field({.name = "wait", .help = "How long one may wait; beyond: 503. Default: 1m."}, 0,
                           [](JobSpec& spec, std::int64_t value) { service_of(spec).limits.wait_ms = value; }),
            duration_field({.name = "response",
                            .help = "From a request to the first byte of its answer; beyond: 504. Default: 10m."},
                           0, [](JobSpec& spec, std::int64_t value) { service_of(spec).limits.response_ms = value; }),
            bytes_field({.name = "max_body", .help = "Of a request; beyond: 413. Default: 64MiB."}, 0,
                        [](JobSpec& spec, std::int64_t value) { service_of(spec).limits.max_body_bytes = value; }),
            section_field({.name = "canary", .help = "Try a new revision on a part of the requests first."},
                          canary_section())},
       .foreign = {{"autoscaling", "write replicas: 0..8 and target: 8"},
                   {"min_replicas", "write replicas: 0..8"},
                   {"max_replicas", "write replicas: 0..8"},
                   {"replica_policy", "write replicas: 0..8 and target: 8"},
                   {"readiness_probe", "write health: {path: /healthz}"},
                   {"target_qps_per_replica", "write target: N, requests at once"},
                   {"ports", "write port: 8080, or leave it out and listen on $PORT"}}};
  return kSection;
}

}  // namespace busbar::launch::internal

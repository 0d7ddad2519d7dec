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
  const auto path =
      reader.scalar(node, "a path like /healthz, grpc, or a map of path, grpc, every, timeout, failures, start");
  if (!path) return;
  if (*path == "grpc") {
    service_of(reader.spec()).health.grpc.emplace();
    return;
  }
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

void read_adapter(Reader& reader, const YamlNode& node) {
  const auto text = reader.scalar(node, "an adapter's name");
  if (!text) return;
  if (text->empty() || text->size() > 200) {
    reader.error(node, "an adapter's name has 1 to 200 characters");
    return;
  }
  service_of(reader.spec()).adapters.push_back(*text);
}

void read_allowed(Reader& reader, const YamlNode& node) {
  const auto text = reader.scalar(node, "a tenant's or a user's name");
  if (!text) return;
  if (text->empty() || text->size() > 128) {
    reader.error(node, "a tenant's name has 1 to 128 characters");
    return;
  }
  service_of(reader.spec()).access.allow.push_back(*text);
}

using RateMember = model::Rate model::RateLimits::*;

Field rate_field(FieldInfo info, RateMember member) {
  return custom_field(std::move(info), schema_of_types({"string"}), [member](Reader& reader, const YamlNode& node) {
    const auto text = reader.scalar(node, "a rate like 10/s");
    if (!text) return;
    if (const auto rate = reader.value_or_report(node, model::parse_rate(*text))) {
      service_of(reader.spec()).access.rates.*member = *rate;
    }
  });
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

/// A factor in thousandths, like 1.25; nullopt where it was reported.
std::optional<std::uint32_t> read_factor(Reader& reader, const YamlNode& node) {
  const auto text = reader.scalar(node, "a factor like 1.5");
  if (!text) return std::nullopt;
  const auto permille = parse_milli(*text);
  if (!permille || *permille < 1'000 || *permille > 100'000) {
    reader.error(node, fmt::format("\"{}\" is no factor from 1 to 100", *text), "write 1.5 for half as much again");
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(*permille);
}

void read_bound(Reader& reader, const YamlNode& node) {
  if (const auto factor = read_factor(reader, node))
    service_of(reader.spec()).traffic.affinity.bound_permille = *factor;
}

void read_latency_factor(Reader& reader, const YamlNode& node) {
  if (const auto factor = read_factor(reader, node)) canary_of(reader.spec()).abort_above_latency_permille = *factor;
}

/// Names of header fields and cookies.
std::string check_token(std::string_view text) {
  const bool is_token = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
  return is_token ? std::string() : fmt::format("\"{}\" is no name of a header or cookie", text);
}

/// "x-canary" or "x-canary: yes".
void read_canary_header(Reader& reader, const YamlNode& node) {
  const auto text = reader.scalar(node, "a header like x-canary, or x-canary: yes in quotes");
  if (!text) return;
  const std::size_t colon = text->find(':');
  const std::string name = to_lower(trim(std::string_view(*text).substr(0, colon)));
  if (const std::string wrong = check_token(name); !wrong.empty()) {
    reader.error(node, wrong, "write x-canary, or \"x-canary: yes\"");
    return;
  }
  canary_of(reader.spec()).header = name;
  if (colon != std::string::npos)
    canary_of(reader.spec()).header_value = trim(std::string_view(*text).substr(colon + 1));
}

using CountMember = std::uint32_t model::ServiceLimits::*;

Field count_of(FieldInfo info, std::int64_t low, CountMember member) {
  return integer_field(std::move(info), low, kMaxCount, [member](JobSpec& spec, std::int64_t value) {
    service_of(spec).limits.*member = static_cast<std::uint32_t>(value);
  });
}

const Section& affinity_section() {
  static const Section kSection = {
      .fields = {
          choice_field({.name = "by", .help = "cookie, header, or prefix: the beginning of a model's prompt."},
                       {"none", "cookie", "header", "prefix"},
                       [](JobSpec& spec, const std::string& value) {
                         service_of(spec).traffic.affinity.kind =
                             model::affinity_from_name(value).value_or(model::AffinityKind::kNone);
                       }),
          text_field(
              {.name = "name", .help = "Of the cookie or header."},
              [](JobSpec& spec, std::string value) { service_of(spec).traffic.affinity.name = std::move(value); },
              check_token),
          custom_field({.name = "bound",
                        .help = "Given up where the replica has more than this times the mean load. "
                                "Default: 1.25."},
                       schema_of_types({"number", "string"}), read_bound)}};
  return kSection;
}

const Section& mirror_section() {
  static const Section kSection = {
      .fields = {text_field(
                     {.name = "to", .help = "The service that gets the copies."},
                     [](JobSpec& spec, std::string value) { service_of(spec).traffic.mirror.to = std::move(value); },
                     check_name),
                 integer_field({.name = "percent", .help = "Of the requests. Default: 100."}, 0, 100,
                               [](JobSpec& spec, std::int64_t value) {
                                 service_of(spec).traffic.mirror.percent = static_cast<std::uint32_t>(value);
                               })}};
  return kSection;
}

const Section& hedge_section() {
  static const Section kSection = {
      .fields = {
          duration_field({.name = "after", .help = "Without a byte of the answer. Default: never."}, 1,
                         [](JobSpec& spec, std::int64_t value) { service_of(spec).traffic.hedge.after_ms = value; }),
          integer_field({.name = "percent", .help = "Of the requests, at most. Default: 5."}, 0, 100,
                        [](JobSpec& spec, std::int64_t value) {
                          service_of(spec).traffic.hedge.percent = static_cast<std::uint32_t>(value);
                        })}};
  return kSection;
}

const Section& health_section() {
  static const Section kSection = {
      .fields = {
          text_field(
              {.name = "path",
               .help = "Asked for by GET; 2xx is healthy. Default: a connection is enough.",
               .aliases = {"readiness"}},
              [](JobSpec& spec, std::string value) { service_of(spec).health.path = std::move(value); }, check_path),
          text_field({.name = "grpc",
                      .help = "Name of the service asked for at grpc.health.v1.Health; SERVING is healthy. Empty: the "
                              "server as a whole, as health: grpc."},
                     [](JobSpec& spec, std::string value) { service_of(spec).health.grpc = std::move(value); }),
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
      .fields = {
          integer_field(
              {.name = "weight", .help = "Percent of the requests; 0: only those with the header. Default: 10."}, 0, 99,
              [](JobSpec& spec, std::int64_t value) { canary_of(spec).weight = static_cast<std::uint32_t>(value); }),
          custom_field({.name = "abort_above_error_rate",
                        .help = "Share of failed requests beyond which the new revision is taken back. "
                                "Default: 0.05."},
                       schema_of_types({"number", "string"}), read_error_rate),
          custom_field({.name = "abort_above_latency",
                        .help = "Its 99th percentile as a multiple of the old revision's, beyond which it is taken "
                                "back. Default: not looked at."},
                       schema_of_types({"number", "string"}), read_latency_factor),
          custom_field({.name = "header", .help = "Requests with this header (\"x-canary: yes\") go to it."},
                       schema_of_types({"string"}), read_canary_header),
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
            choice_field({.name = "protocol",
                          .help = "What a replica speaks: http1, or http2 without TLS, as gRPC does. Default: http1."},
                         {"http1", "http2"},
                         [](JobSpec& spec, const std::string& value) {
                           service_of(spec).protocol =
                               model::replica_protocol_from_name(value).value_or(model::ReplicaProtocol::kHttp1);
                         }),
            custom_field({.name = "replicas", .help = "2, or 0..8 for as many as the requests need. Default: 1."},
                         schema_of_types({"integer", "string"}), read_replicas),
            integer_field({.name = "warm",
                           .help = "Replicas beyond those that are needed, started and then paused: they serve as soon "
                                   "as they are. Default: 0."},
                          0, model::kMaxReplicas,
                          [](JobSpec& spec, std::int64_t value) {
                            service_of(spec).warm = static_cast<std::uint32_t>(value);
                          }),
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
            count_of({.name = "waiting_each", .help = "Of those, requests of one tenant; beyond: 429. Default: 256."}, 0,
                     &model::ServiceLimits::waiting_each),
            duration_field({.name = "wait", .help = "How long one may wait; beyond: 503. Default: 1m."}, 0,
                           [](JobSpec& spec, std::int64_t value) { service_of(spec).limits.wait_ms = value; }),
            duration_field({.name = "response",
                            .help = "From a request to the first byte of its answer; beyond: 504. Default: 10m."},
                           0, [](JobSpec& spec, std::int64_t value) { service_of(spec).limits.response_ms = value; }),
            bytes_field({.name = "max_body", .help = "Of a request; beyond: 413. Default: 64MiB."}, 0,
                        [](JobSpec& spec, std::int64_t value) { service_of(spec).limits.max_body_bytes = value; }),
            choice_field({.name = "auth", .help = "key: callers need an API key (busbar keys create). Default: none."},
                         {"none", "key"},
                         [](JobSpec& spec, const std::string& value) {
                           service_of(spec).access.auth =
                               model::service_auth_from_name(value).value_or(model::ServiceAuth::kKey);
                         }),
            list_field({.name = "allow", .help = "Tenants and users whose keys are let in. Default: all."},
                       schema_of_types({"string"}), read_allowed),
            rate_field({.name = "requests", .help = "Of all callers together, like 100/s; beyond: 429."},
                       &model::RateLimits::requests),
            rate_field({.name = "tokens", .help = "Of a language model, all callers together, like 50000/m."},
                       &model::RateLimits::tokens),
            list_field({.name = "adapters", .help = "LoRA adapters that each replica has loaded."},
                       schema_of_types({"string"}), read_adapter),
            section_field({.name = "affinity", .help = "What belongs together finds the same replica."},
                          affinity_section()),
            section_field({.name = "mirror", .help = "Copies of requests to another service; answers are dropped."},
                          mirror_section()),
            section_field({.name = "hedge", .help = "A second replica is asked where the first is slow."},
                          hedge_section()),
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

#include "gateway/internal/metrics_text.h"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <string_view>

namespace busbar::gateway::internal {
namespace {

constexpr std::string_view kPrefix = "busbar_gateway_";

class Writer {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(end(), "# HELP {0}{1} {2}\n# TYPE {0}{1} {3}\n", kPrefix, name, help, type);
  }
  void value(std::string_view name, std::string_view labels, std::uint64_t value) {
    fmt::format_to(end(), "{}{}{} {}\n", kPrefix, name, labels, value);
  }
  void seconds(std::string_view name, std::string_view labels, double value) {
    fmt::format_to(end(), "{}{}{} {}\n", kPrefix, name, labels, value);
  }
  std::string text() && { return std::move(text_); }

 private:
  std::back_insert_iterator<std::string> end() { return std::back_inserter(text_); }
  std::string text_ = {};
};

std::string service_label(const ServiceEntry& entry, std::string_view more = {}) {
  return fmt::format("{{service=\"{}\"{}}}", entry.value.name, more);
}

template <class Read>
std::uint64_t sum_of(const ServiceEntry& entry, Read read) {
  std::uint64_t sum = 0;
  for (const auto& counters : entry.state->counters) sum += read(*counters);
  return sum;
}

template <class Read>
void write_family(Writer& writer, const Directory& directory, std::string_view name, std::string_view type,
                  std::string_view help, Read read) {
  writer.family(name, type, help);
  for (const auto& entry : directory.services()) writer.value(name, service_label(*entry), sum_of(*entry, read));
}

using HistogramMember = Histogram ServiceCounters::*;
using TenantCount = std::atomic<std::uint64_t> TenantState::*;

void write_histogram(Writer& writer, const Directory& directory, std::string_view name, std::string_view help,
                     HistogramMember histogram) {
  writer.family(name, "histogram", help);
  const std::string buckets = std::string(name) + "_bucket";
  for (const auto& entry : directory.services()) {
    std::uint64_t count = 0;
    // Each power of two: four in one would hide what one looks for, all eight of each would drown it.
    for (std::size_t bucket = 0; bucket < Histogram::kBuckets; ++bucket) {
      count += sum_of(*entry, [&](const ServiceCounters& each) { return (each.*histogram).count_in(bucket); });
      const bool is_shown = bucket % 8 == 7 && bucket >= 31;
      if (!is_shown) continue;
      const double end = static_cast<double>(Histogram::bucket_end_us(bucket)) / 1e6;
      writer.value(buckets, service_label(*entry, fmt::format(",le=\"{}\"", end)), count);
    }
    writer.value(buckets, service_label(*entry, ",le=\"+Inf\""), count);
    const std::uint64_t sum_us =
        sum_of(*entry, [&](const ServiceCounters& each) { return (each.*histogram).sum_us(); });
    writer.seconds(std::string(name) + "_sum", service_label(*entry), static_cast<double>(sum_us) / 1e6);
    writer.value(std::string(name) + "_count", service_label(*entry), count);
  }
}

void write_services(Writer& writer, const Directory& directory) {
  write_family(writer, directory, "requests_total", "counter", "Requests that named the service.",
               [](const ServiceCounters& each) { return each.arrivals.value(); });
  writer.family("answers_total", "counter", "Answers by class of status; 0: the client went away before one.");
  for (const auto& entry : directory.services()) {
    for (std::size_t index = 0; index < 6; ++index) {
      const std::uint64_t count =
          sum_of(*entry, [index](const ServiceCounters& each) { return each.by_status_class[index].value(); });
      writer.value("answers_total", service_label(*entry, fmt::format(",class=\"{}xx\"", index)), count);
    }
  }
  write_family(writer, directory, "failures_total", "counter", "Answers of 500 and more, and those broken off.",
               [](const ServiceCounters& each) { return each.failed.value(); });
  write_family(writer, directory, "retries_total", "counter", "Requests given to a second replica.",
               [](const ServiceCounters& each) { return each.retries.value(); });
  write_family(writer, directory, "shed_total", "counter", "Requests refused because too many waited, or too long.",
               [](const ServiceCounters& each) { return each.shed.value(); });
  write_family(writer, directory, "aborts_total", "counter", "Requests whose client went away.",
               [](const ServiceCounters& each) { return each.aborted.value(); });
  write_family(writer, directory, "denied_total", "counter", "Requests refused for want of a key that lets them in.",
               [](const ServiceCounters& each) { return each.denied.value(); });
  write_family(writer, directory, "limited_total", "counter", "Requests refused because a rate was used up.",
               [](const ServiceCounters& each) { return each.limited.value(); });
  write_family(writer, directory, "mirrors_total", "counter", "Copies of requests sent to another service.",
               [](const ServiceCounters& each) { return each.mirrors.value(); });
  write_family(writer, directory, "mirrors_dropped_total", "counter", "Copies that there was no room for.",
               [](const ServiceCounters& each) { return each.mirrors_dropped.value(); });
  write_family(writer, directory, "hedges_total", "counter", "Requests sent to a second replica, the first being slow.",
               [](const ServiceCounters& each) { return each.hedges.value(); });
  write_family(writer, directory, "hedges_won_total", "counter", "Of those, answered by the second.",
               [](const ServiceCounters& each) { return each.hedges_won.value(); });
  write_family(writer, directory, "waiting", "gauge", "Requests that wait for a replica.",
               [](const ServiceCounters& each) { return each.waiting.load(std::memory_order_relaxed); });
  write_family(writer, directory, "running", "gauge", "Requests not answered to their end, those that wait included.",
               [](const ServiceCounters& each) { return each.running.load(std::memory_order_relaxed); });
  writer.family("endpoints", "gauge", "Replicas in the route table.");
  for (const auto& entry : directory.services()) {
    writer.value("endpoints", service_label(*entry), entry->endpoints.size());
  }
  write_histogram(writer, directory, "request_seconds", "From a request's head to the end of its answer.",
                  &ServiceCounters::latency);
  write_histogram(writer, directory, "first_byte_seconds", "From a request's head to the first byte of its answer.",
                  &ServiceCounters::first_byte);
  write_histogram(writer, directory, "event_gap_seconds", "Between the pieces of an event stream (of tokens).",
                  &ServiceCounters::event_gap);
}

void write_tenants(Writer& writer, const Directory& directory) {
  const auto family = [&](std::string_view name, std::string_view help, TenantCount count) {
    writer.family(name, "counter", help);
    for (const auto& tenant : directory.callers().tenants()) {
      writer.value(name, fmt::format("{{tenant=\"{}\"}}", tenant->value.name),
                   ((*tenant->state).*count).load(std::memory_order_relaxed));
    }
  };
  family("tenant_requests_total", "Requests of the tenant's keys that were let in.", &TenantState::requests);
  family("tenant_limited_total", "Requests of the tenant's keys that were refused with 429.", &TenantState::limited);
  family("tenant_estimated_tokens_total", "Tokens that its requests were expected to use, when they came.",
         &TenantState::estimated_tokens);
  family("tenant_settled_tokens_total", "Tokens that its answers said they used.", &TenantState::settled_tokens);
  family("tenant_unsettled_total", "Answers that did not say: for them the estimate stands.", &TenantState::unsettled);
}

}  // namespace

std::string metrics_text(const Directory* directory, std::uint64_t routed_version,
                         const std::vector<const WorkerCounters*>& workers) {
  Writer writer;
  const auto sum = [&workers](auto read) {
    std::uint64_t total = 0;
    for (const WorkerCounters* each : workers) total += read(*each);
    return total;
  };
  writer.family("clients", "gauge", "Open connections of clients.");
  writer.value("clients", "", sum([](const WorkerCounters& each) { return each.clients.load(); }));
  writer.family("upstreams", "gauge", "Open connections to replicas, idle ones included.");
  writer.value("upstreams", "", sum([](const WorkerCounters& each) { return each.upstreams.load(); }));
  writer.family("accepted_total", "counter", "Connections accepted.");
  writer.value("accepted_total", "", sum([](const WorkerCounters& each) { return each.accepted.value(); }));
  writer.family("accept_errors_total", "counter", "Connections refused for want of descriptors or by the limit.");
  writer.value("accept_errors_total", "", sum([](const WorkerCounters& each) { return each.accept_errors.value(); }));
  writer.family("refused_total", "counter", "Requests answered here: malformed, or for no service.");
  writer.value("refused_total", "", sum([](const WorkerCounters& each) { return each.refused.value(); }));
  writer.family("log_errors_total", "counter", "Batches of access log lines that could not be written.");
  writer.value("log_errors_total", "", sum([](const WorkerCounters& each) { return each.log_errors.value(); }));
  writer.family("tls_handshakes_total", "counter", "TLS connections made.");
  writer.value("tls_handshakes_total", "", sum([](const WorkerCounters& each) { return each.handshakes.value(); }));
  writer.family("tls_handshake_errors_total", "counter", "TLS handshakes that failed, or were too many at once.");
  writer.value("tls_handshake_errors_total", "",
               sum([](const WorkerCounters& each) { return each.handshake_errors.value(); }));
  writer.family("http2_connections_total", "counter", "Connections of clients that speak HTTP/2.");
  writer.value("http2_connections_total", "",
               sum([](const WorkerCounters& each) { return each.http2_connections.value(); }));
  writer.family("table_version", "gauge", "Version of the route table that all threads route by.");
  writer.value("table_version", "", routed_version);
  if (directory != nullptr) write_services(writer, *directory);
  if (directory != nullptr) write_tenants(writer, *directory);
  return std::move(writer).text();
}

}  // namespace busbar::gateway::internal

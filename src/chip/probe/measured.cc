#include "chip/probe/measured.h"

#include <utility>

#include "base/json.h"
#include "os/files.h"

namespace busbar::chip::probe {
namespace {

constexpr std::size_t kMaxMeasuredBytes = std::size_t{4} << 20;

tl::unexpected<Error> corrupt(const std::string& file, const std::string& why) {
  return make_error(ErrorCode::kDataCorrupt,
                    "measured peaks in " + file + " cannot be read; delete the file and measure again", why);
}

}  // namespace

Result<Measured> read_measured(const std::string& file) {
  Measured measured;
  if (file.empty()) return measured;
  const auto text = os::read_file(file, kMaxMeasuredBytes);
  if (!text) {
    if (text.error().code == ErrorCode::kNotFound) return measured;
    return tl::unexpected(text.error());
  }
  const auto json = parse_json(*text);
  if (!json) return corrupt(file, json.error().to_string());
  if (!(*json)["cards"].is_object()) return corrupt(file, "it has no object \"cards\"");
  for (const auto& [device, value] : (*json)["cards"].members()) {
    MeasuredCard card{.chip = value["chip"].as_string(), .uuid = value["uuid"].as_string()};
    for (const auto& [precision, peak] : value["gemm"].members()) {
      const std::int64_t gflops = peak["gflops"].as_int();
      if (gflops <= 0) return corrupt(file, device + " " + precision + " has no positive gflops");
      card.by_precision[precision] = {
          .gflops = gflops, .library = peak["library"].as_string(), .time_ms = peak["time_ms"].as_int()};
    }
    measured[device] = std::move(card);
  }
  return measured;
}

Result<void> write_measured(const std::string& file, const Measured& measured) {
  Json cards = Json::object();
  for (const auto& [device, card] : measured) {
    Json gemm = Json::object();
    for (const auto& [precision, value] : card.by_precision) {
      gemm.set(precision,
               Json::object({{"gflops", value.gflops}, {"library", value.library}, {"time_ms", value.time_ms}}));
    }
    Json item = Json::object({{"chip", card.chip}});
    if (!card.uuid.empty()) item.set("uuid", card.uuid);
    item.set("gemm", std::move(gemm));
    cards.set(device, std::move(item));
  }
  return os::write_file_atomic(file, Json::object({{"cards", std::move(cards)}}).dump_pretty() + "\n", 0644);
}

std::vector<engine::MeasuredPeak> peaks_of(const Measured& measured, const engine::ProbedCard& card) {
  std::vector<engine::MeasuredPeak> peaks;
  const auto found = measured.find(card.card.device);
  if (found == measured.end() || found->second.chip != card.card.chip || found->second.uuid != card.facts.uuid) {
    return peaks;
  }
  for (const auto& [precision, value] : found->second.by_precision) {
    peaks.push_back({.precision = precision, .gflops = value.gflops});
  }
  return peaks;
}

}  // namespace busbar::chip::probe

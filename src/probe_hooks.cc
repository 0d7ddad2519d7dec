#include "probe_hooks.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/text.h"
#include "chip/probe/host_probe.h"
#include "chip/probe/measure.h"
#include "chip/probe/measured.h"
#include "chip_files.h"
#include "os/files.h"
#include "os/system_clock.h"
#include "serve.h"

namespace busbar {
namespace {

namespace probe = chip::probe;

/// The catalogue with the site's files on top, by the server's setting unless another folder is named.
Result<std::shared_ptr<const chip::Catalogue>> shared_catalogue(const std::string& chips_dir) {
  TRY_ASSIGN(chip::Catalogue catalogue, read_catalogue(chips_dir));
  return std::make_shared<const chip::Catalogue>(std::move(catalogue));
}

bool is_chosen(const std::vector<std::string>& chosen, const engine::ProbedCard& card) {
  return chosen.empty() || std::any_of(chosen.begin(), chosen.end(), [&](const std::string& name) {
           return name == card.card.device || name == std::to_string(card.card.index);
         });
}

std::int64_t nominal(const engine::ProbedCard& card, const std::string& precision) {
  for (const auto& [name, gflops] : card.card.peak_gflops) {
    if (name == precision) return gflops;
  }
  return 0;
}

/// One pass over the cards; collects rows and what is to be kept.
class Measuring {
 public:
  Measuring(const cli::MeasureOptions& options, probe::Measured measured)
      : options_(options), measured_(std::move(measured)) {
    settings_.precisions = options.precisions;
    settings_.duration_ms = options.duration_ms;
    if (!options.python.empty()) settings_.python = options.python;
  }

  Result<void> run(const engine::Inventory& inventory) {
    std::vector<engine::ProbedCard> cpus;
    bool is_any = false;
    for (const engine::ProbedCard& card : inventory.cards) {
      if (!is_chosen(options_.cards, card)) continue;
      is_any = true;
      if (card.card.chip == "cpu") {
        cpus.push_back(card);
      } else {
        take({card}, card.card.device, probe::measure_card(card, settings_));
      }
    }
    if (!is_any) {
      return make_error(ErrorCode::kNotFound,
                        fmt::format("no card is {}; busbar chips discover lists them", join(options_.cards, " or ")));
    }
    if (!cpus.empty()) take(cpus, "cpu", probe::measure_cpus(numbers_of(cpus), settings_));
    return {};
  }

  cli::MeasureReport report = {};
  const probe::Measured& measured() const { return measured_; }

 private:
  static std::vector<std::uint32_t> numbers_of(const std::vector<engine::ProbedCard>& cpus) {
    std::vector<std::uint32_t> numbers;
    for (const engine::ProbedCard& card : cpus) {
      const auto number = parse_int(std::string_view(card.card.device).substr(card.card.device.find(':') + 1));
      if (number) numbers.push_back(static_cast<std::uint32_t>(*number));
    }
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    return numbers;
  }

  void take(const std::vector<engine::ProbedCard>& cards, const std::string& device,
            const Result<probe::GemmRun>& run) {
    if (!run) {
      report.problems.push_back({.path = device, .message = run.error().to_string()});
      return;
    }
    for (const engine::ProbeProblem& problem : run->problems) {
      report.problems.push_back({.path = device + " " + problem.path, .message = problem.message});
    }
    for (const probe::GemmResult& result : run->results) {
      const auto count = static_cast<std::int64_t>(cards.size());
      const std::int64_t each = std::max<std::int64_t>(1, result.gflops / count);
      report.rows.push_back({.device = device,
                             .chip = cards.front().card.chip,
                             .cards = static_cast<std::uint32_t>(count),
                             .precision = result.precision,
                             .gflops_per_card = each,
                             .nominal_gflops = nominal(cards.front(), result.precision),
                             .size = result.size,
                             .library = result.library});
      for (const engine::ProbedCard& card : cards) {
        probe::MeasuredCard& kept = measured_[card.card.device];
        if (kept.chip != card.card.chip || kept.uuid != card.facts.uuid) kept.by_precision.clear();
        kept.chip = card.card.chip;
        kept.uuid = card.facts.uuid;
        kept.by_precision[result.precision] = {
            .gflops = each, .library = result.library, .time_ms = os::SystemClock().now_ms()};
      }
    }
  }

  const cli::MeasureOptions& options_;
  probe::MeasureOptions settings_ = {};
  probe::Measured measured_;
};

}  // namespace

Result<engine::Inventory> discover_cards(const cli::DiscoverOptions& options) {
  TRY_ASSIGN(const ProbeSettings settings, probe_settings(""));
  TRY_ASSIGN(auto catalogue, shared_catalogue(options.chips_dir.empty() ? settings.chips_dir : options.chips_dir));
  const bool is_here = options.root.empty() || options.root == "/";
  const std::string topology = is_here ? settings.topology_file : std::string();
  return probe::make_host_probe({.root = is_here ? "/" : options.root,
                                 .topology_file = options.topology_file.empty() ? topology : options.topology_file,
                                 .measured_file = is_here ? settings.measured_file : std::string()},
                                std::move(catalogue))
      ->scan();
}

Result<cli::MeasureReport> measure_cards(const cli::MeasureOptions& options) {
  TRY_ASSIGN(const ProbeSettings settings, probe_settings(options.state_dir));
  TRY_ASSIGN(auto catalogue, shared_catalogue(settings.chips_dir));
  const auto probe = probe::make_host_probe({.topology_file = settings.topology_file}, std::move(catalogue));
  TRY_ASSIGN(const engine::Inventory inventory, probe->scan());
  TRY_ASSIGN(probe::Measured measured, probe::read_measured(settings.measured_file));
  Measuring measuring(options, std::move(measured));
  TRY(measuring.run(inventory));
  measuring.report.file = settings.measured_file;
  if (!measuring.report.rows.empty()) {
    TRY(os::make_dirs(os::parent_path(settings.measured_file), 0700));
    TRY(probe::write_measured(settings.measured_file, measuring.measured()));
  }
  return std::move(measuring.report);
}

Result<chip::HostCards> host_cards(const chip::Catalogue& catalogue) {
  TRY_ASSIGN(const ProbeSettings settings, probe_settings(""));
  const auto probe = probe::make_host_probe({.offers_cpus = false, .topology_file = settings.topology_file},
                                            std::make_shared<const chip::Catalogue>(catalogue));
  TRY_ASSIGN(const engine::Inventory inventory, probe->scan());
  chip::HostCards host;
  for (const engine::ProbedCard& card : inventory.cards) host.cards.push_back(card.facts);
  for (const std::string& path : chip::paths_to_look_for(catalogue, host.cards)) {
    if (os::file_exists(path)) host.present_paths.insert(path);
  }
  return host;
}

}  // namespace busbar

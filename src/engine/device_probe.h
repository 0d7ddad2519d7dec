#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "chip/card_facts.h"
#include "chip/oci_edits.h"
#include "model/cluster.h"

namespace busbar::engine {

/// Something that a probe could not read or make sense of. Everything else was found all the same.
struct ProbeProblem {
  std::string path = {};  ///< The file, directory or device at fault, as the machine names it.
  std::string message = {};
  friend bool operator==(const ProbeProblem&, const ProbeProblem&) = default;
};

/// What changes from second to second, where a vendor's library or sysfs tells it.
struct CardReading {
  std::optional<std::int64_t> memory_used_bytes = {};
  std::optional<std::int32_t> utilisation_percent = {};
  std::optional<std::int64_t> power_mw = {};
  std::optional<std::int32_t> temperature_c = {};
  friend bool operator==(const CardReading&, const CardReading&) = default;
};

/// What GEMM reached on this very card, by precision, GFLOP/s.
struct MeasuredPeak {
  std::string precision = {};
  std::int64_t gflops = 0;
  friend bool operator==(const MeasuredPeak&, const MeasuredPeak&) = default;
};

/// One card as its machine shows it: `card` is for the scheduler, `facts` for its container, the rest for people.
struct ProbedCard {
  model::Card card = {};
  chip::CardFacts facts = {};
  std::string pci_ids = {};                  ///< "10de:2330 10de:16c1": ids and subsystem ids; empty: not on PCI.
  std::string driver = {};                   ///< Kernel driver; empty: none is bound.
  std::vector<std::string> candidates = {};  ///< Models that it may be, where ids do not settle it.
  std::string pci_link = {};                 ///< "32 GT/s x16 of x16"
  std::string health_detail = {};            ///< Why it is unhealthy.
  std::vector<MeasuredPeak> measured = {};
  CardReading reading = {};
  friend bool operator==(const ProbedCard&, const ProbedCard&) = default;
};

/// All cards of one machine.
struct Inventory {
  std::vector<ProbedCard> cards = {};  ///< By model::Card::index, which stays a card's own as long as it is known.
  MilliCpus cpus = {};                 ///< CPUs that we may run on.
  std::vector<ProbeProblem> problems = {};
};

/// Finds the cards of one machine and says how a container gets to see them. Reports; decides nothing. Thread-safe: one
/// call works, others wait. A call takes milliseconds, longer where a vendor's library is slow.
class DeviceProbe {
 public:
  virtual ~DeviceProbe() = default;

  /// Looks at the machine as it is now. A card that was there before and is gone keeps its index and is unhealthy, so
  /// that indices never move. An error only where nothing at all can be said.
  virtual Result<Inventory> scan() = 0;

  /// What a container must be given to see exactly these cards and no others of the machine, as of the last scan.
  /// `per_card` below 1000: a share. Errors are those of chip::edits_for.
  virtual Result<chip::OciEdits> edits_for(const std::vector<model::Card>& granted, MilliCards per_card) = 0;
};

}  // namespace busbar::engine

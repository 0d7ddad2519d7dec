#pragma once

#include <map>
#include <string>
#include <vector>

#include "chip/catalogue.h"
#include "chip/probe/internal/pci_scan.h"
#include "chip/probe/internal/topology_file.h"

namespace busbar::chip::probe {

/// What a PCI device is, by the catalogue and the operator's word.
struct Identity {
  const Family* family = nullptr;            ///< nullptr: unknown.
  const ChipModel* model = nullptr;          ///< nullptr: not settled.
  std::vector<std::string> candidates = {};  ///< Model ids, where several share the PCI id.
  /// One of several virtual functions of a card: less than the model, so its figures do not count.
  bool is_slice = false;

  std::string chip(const PciDevice& device) const;
};

/// A PCI function that is a card, with what it is.
struct FoundDevice {
  PciDevice device = {};
  Identity identity = {};
};

/// Could this be an accelerator? By id, by class, or because its vendor makes nothing else. Sees ids and class only.
bool is_accelerator(const Catalogue& catalogue, const TopologyFile& topology, const PciDevice& device);

struct Identified {
  std::vector<FoundDevice> devices = {};  ///< By address.
  std::vector<engine::ProbeProblem> problems = {};
};

/// Which functions are cards, and of what chip. Pure.
/// - A PCI id that several models share is settled by subsystem id, the driver's name of the board or the operator,
///   else the card has a chip of its own ("pci-19e5-d802") and candidates.
/// - A physical function whose virtual functions are here is not a card: they are.
/// - Functions of one slot that are one model are one card: the one with most device nodes. What the others do
///   (manage an FPGA) is no task's business.
Identified identify(const Catalogue& catalogue, const TopologyFile& topology, std::vector<PciDevice> devices);

}  // namespace busbar::chip::probe

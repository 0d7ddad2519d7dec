#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace busbar::chip::probe {

/// What says how near a card is to others.
struct LinkEnds {
  std::string address = {};
  std::vector<std::string> upstream = {};  ///< As PciDevice::upstream.
  std::int16_t numa_node = -1;
  /// Other ends of its own links (NVLink): addresses of cards and of switches.
  std::vector<std::string> peers = {};
};

/// A group for each card, numbered from 0 in the order of first appearance: cards of one group talk to each other
/// fastest. In this order: what the operator says; the vendor's own links, also through switches; the nearest
/// PCIe switch that both hang below; the NUMA node, or the host bridge where that is not known. Pure. O(cards squared).
std::vector<std::uint16_t> link_groups(const std::vector<LinkEnds>& cards,
                                       const std::vector<std::vector<std::string>>& operator_groups);

}  // namespace busbar::chip::probe

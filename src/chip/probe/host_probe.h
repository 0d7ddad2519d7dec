#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "chip/catalogue.h"
#include "engine/device_probe.h"

/// Finds the cards of a Linux machine without vendors' tools (docs/chips.md).
namespace busbar::chip::probe {

struct HostProbeOptions {
  /// Where /sys, /proc, /dev and /etc lie: "/", or a tree of another machine, copied or made. Below a tree a plain file
  /// that says "c 195:0" counts as that device node, and vendors' libraries are not asked unless named.
  std::string root = "/";
  std::uint32_t cpu_cards = 0;     ///< 0: one for each CPU that we may use.
  bool offers_cpus = true;         ///< Whether CPUs are cards at all.
  std::string topology_file = {};  ///< The operator's word, a path of this machine; absent is fine.
  std::string state_file = {};     ///< Remembers which index is whose; empty: nothing is kept.
  std::string measured_file = {};  ///< Measured peaks (chip/probe/measured.h); absent is fine.
  /// NVML; "": "libnvidia-ml.so.1" on this machine where an NVIDIA card is, none for a tree. "none": never.
  std::string nvml_library = {};
};

/// Shares `catalogue`. Reads nothing yet but the state file.
std::unique_ptr<engine::DeviceProbe> make_host_probe(HostProbeOptions options,
                                                     std::shared_ptr<const Catalogue> catalogue);

}  // namespace busbar::chip::probe

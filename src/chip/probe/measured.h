#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "engine/device_probe.h"

namespace busbar::chip::probe {

/// What a GEMM reached on one card.
struct MeasuredCard {
  std::string chip = {};
  std::string uuid = {};  ///< Empty where the card has none.
  struct Value {
    std::int64_t gflops = 0;
    std::string library = {};  ///< "OpenBLAS 0.3.21", "cuBLAS 12.4", "PyTorch 2.3"
    TimeMs time_ms = 0;
    friend bool operator==(const Value&, const Value&) = default;
  };
  std::map<std::string, Value> by_precision = {};
  friend bool operator==(const MeasuredCard&, const MeasuredCard&) = default;
};
/// By model::Card::device.
using Measured = std::map<std::string, MeasuredCard>;

/// What was written by `write_measured`; empty where there is no file or no name. kDataCorrupt says what to do.
Result<Measured> read_measured(const std::string& file);
/// Replaces the file as a whole.
Result<void> write_measured(const std::string& file, const Measured& measured);

/// The peaks of this very card: of the same chip and, where it has one, the same unique id; a card that was exchanged
/// for another has none.
std::vector<engine::MeasuredPeak> peaks_of(const Measured& measured, const engine::ProbedCard& card);

}  // namespace busbar::chip::probe

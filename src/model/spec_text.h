#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "model/job.h"

namespace busbar::model {

// The short texts that job files, the API and the command line share for values of more than one number. Each pair
// round-trips: parse(format(x)) == x. Pure; errors are kInvalidArgument and name the allowed forms.

/// "H100:8", "H100:0.5", "H100" (one), "8" (any chip), "cpu:2", "8@fp8" (chips that compute in fp8). Spaces around the
/// parts are allowed.
Result<AcceleratorRequest> parse_accelerators(std::string_view text);
std::string format_accelerators(const AcceleratorRequest& request);

/// "4" or "2..8": the gang's least and most nodes, at most kMaxNodes.
inline constexpr std::uint32_t kMaxNodes = 10'000;
Result<std::pair<std::uint32_t, std::uint32_t>> parse_nodes(std::string_view text);
std::string format_nodes(std::uint32_t min_nodes, std::uint32_t max_nodes);
/// Also "2,4,8": only these gang sizes, ascending when read; empty for the forms above.
struct GangSizes {
  std::uint32_t min_nodes = 1;
  std::uint32_t max_nodes = 1;
  std::vector<std::uint32_t> sizes = {};
  friend bool operator==(const GangSizes&, const GangSizes&) = default;
};
inline constexpr std::size_t kMaxGangSizes = 64;
Result<GangSizes> parse_gang_sizes(std::string_view text);
std::string format_gang_sizes(const GangSizes& sizes);
/// "2" or "0..8": a service's least and most replicas, at most kMaxReplicas. `format_nodes` writes them.
Result<std::pair<std::uint32_t, std::uint32_t>> parse_replicas(std::string_view text);

/// What precisions chips and jobs may name: "fp64" ... "int4".
const std::vector<std::string>& precision_names();

/// The members of an array job and how many of them run at once (0: all).
struct ArrayRange {
  std::vector<std::uint32_t> indices = {};  ///< Ascending, distinct.
  std::uint32_t parallel = 0;
  friend bool operator==(const ArrayRange&, const ArrayRange&) = default;
};
inline constexpr std::size_t kMaxArrayMembers = 10'000;
inline constexpr std::uint32_t kMaxArrayIndex = 4'000'000;  ///< Slurm's own largest MaxArraySize.
/// Slurm's "0-7", "1,3,5-9:2", "0-99%4" and a bare count "8" (0..7).
Result<ArrayRange> parse_array(std::string_view text);
/// "0-7,9%4"; always a range or a list, never the bare count.
std::string format_array(const ArrayRange& range);

/// The exact duration in its largest whole unit: "90m", "1500ms", "2d"; `parse_duration_ms` reads it.
std::string format_exact_duration_ms(std::int64_t duration_ms);

}  // namespace busbar::model

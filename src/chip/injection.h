#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "chip/card_facts.h"
#include "chip/catalogue.h"
#include "chip/cdi.h"
#include "chip/oci_edits.h"

/// From granted cards to what their container is given.
namespace busbar::chip {

/// What one machine has, as far as showing cards to containers goes. Filled by a probe, or assumed for a preview.
struct HostCards {
  std::vector<CardFacts> cards = {};  ///< All of them, granted or not: what is not granted must stay hidden.
  /// Of `paths_to_look_for`, those that exist.
  std::set<std::string> present_paths = {};
  std::vector<CdiSpec> cdi = {};
  /// Nothing was looked at: control nodes are taken as present, a card without a rule has no nodes to show.
  bool is_assumed = false;
};

/// Every host path that a rule may refer to for these cards: where the machine has it matters. Device patterns filled
/// in.
std::set<std::string> paths_to_look_for(const Catalogue& catalogue, const std::vector<CardFacts>& cards);

/// The edits that show exactly the cards in `granted` (CardFacts::device of each) and no other card of the host, from
/// the first that there is: a CDI spec's device, the family's rule, the card's own nodes in sysfs; CPU cards become a
/// CPU set. All go through `merge_edits`, and the result is checked against the cards that were not granted, so a wrong
/// spec or rule is an error, never a leak. `per_card` below 1000: a share, whose isolation is among the remarks.
///
/// kNotFound: a granted card is not on the host. kUnsupported: nothing is known of how to show it.
/// kFailedPrecondition: a value, node or spec is missing or would show more than was granted. Pure.
Result<OciEdits> edits_for(const Catalogue& catalogue, const HostCards& host, const std::vector<std::string>& granted,
                           MilliCards per_card = {1000});

/// A machine with `count` cards of a chip (a model id, an undecided chip, "cpu"), numbered as a driver would, for
/// previews on clusters that have none.
HostCards assumed_host(const Catalogue& catalogue, std::string_view chip, std::uint32_t count);

/// A CDI spec for the cards of one family on this host: each by its index and, where known, its unique id.
/// kUnsupported for a family without a rule, kNotFound if the host has none of its cards.
Result<CdiSpec> make_cdi_spec(const Catalogue& catalogue, const HostCards& host, const Family& family);

/// What people are told of a card that only its own device nodes are known of.
inline constexpr std::string_view kNoRuleRemark = "no injection rule known; exclusive, nodes from sysfs";

}  // namespace busbar::chip

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/device_probe.h"

namespace busbar::chip::probe {

/// A card of one scan, before it has its index.
struct SeenCard {
  engine::ProbedCard found = {};
  /// Why it cannot be used as it is now; empty: it can.
  std::string fault = {};
  /// Uncorrectable errors that the hardware has counted since boot.
  std::optional<std::int64_t> error_count = {};
  /// What the vendor's library reported since the last scan; the card is not trusted from then on.
  std::string failure = {};
};

/// What is remembered of cards from scan to scan, and over restarts in a file: which index is whose, and what has gone
/// wrong. Not thread-safe.
///
/// A card keeps its index as long as the file lasts. One that vanishes stays, unhealthy; except CPU cards at the end
/// (the operator offers fewer) and partitions, whose index the next new card takes (re-partitioning makes new ones).
/// Errors count from the first scan of this object on: a restart takes what the hardware has counted as its new start,
/// and forgets failures, and so does a card that leaves and returns.
class CardBook {
 public:
  /// `file`: empty: indices are not kept. Read once, here.
  explicit CardBook(std::string file);

  /// The inventory's cards, by index. Writes the file when its content changes; that it cannot is a problem.
  std::vector<engine::ProbedCard> update(std::vector<SeenCard> seen);
  /// What went wrong with the file since the last call.
  std::vector<engine::ProbeProblem> take_problems();

 private:
  struct Entry {
    std::string key = {};
    engine::ProbedCard last = {};
    bool is_here = false;
    std::optional<std::int64_t> first_error_count = {};
    std::string failure = {};
  };

  void read();
  void write();
  Entry& entry_of(const std::string& key, std::map<std::string, std::size_t>& by_key);
  void take(Entry& entry, SeenCard seen);

  const std::string file_;
  std::string written_;  ///< The file's content.
  std::vector<Entry> entries_;
  std::vector<engine::ProbeProblem> problems_;
};

}  // namespace busbar::chip::probe

#include "chip/probe/internal/card_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/job_json.h"
#include "os/files.h"

namespace busbar::chip::probe {
namespace {

constexpr std::size_t kMaxBookBytes = std::size_t{4} << 20;

bool is_cpu(const engine::ProbedCard& card) {
  return card.card.chip == "cpu";
}

bool is_partition(const engine::ProbedCard& card) {
  return card.card.device.starts_with("mig:");
}

/// Several CPU cards may share a CPU: the second of "cpu:0" is "cpu:0#1".
class Keys {
 public:
  std::string next(const std::string& device) {
    const std::uint32_t repeats = counts_[device]++;
    return repeats == 0 ? device : fmt::format("{}#{}", device, repeats);
  }

 private:
  std::map<std::string, std::uint32_t> counts_;
};

void set_unhealthy(engine::ProbedCard& card, std::string why) {
  card.card.health = model::CardHealth::kUnhealthy;
  card.health_detail = std::move(why);
}

}  // namespace

CardBook::CardBook(std::string file) : file_(std::move(file)) {
  if (!file_.empty()) read();
}

void CardBook::read() {
  const auto text = os::read_file(file_, kMaxBookBytes);
  if (!text) {
    if (text.error().code != ErrorCode::kNotFound) {
      problems_.push_back({.path = file_, .message = text.error().to_string()});
    }
    return;
  }
  const auto json = parse_json(*text);
  const auto node = json ? model::node_from_json(*json) : tl::unexpected(json.error());
  if (!node) {
    problems_.push_back(
        {.path = file_, .message = "cannot be read, so cards get new indices: " + node.error().to_string()});
    return;
  }
  Keys keys;
  for (const model::Card& card : node->cards) {
    entries_.push_back(
        {.key = keys.next(card.device), .last = {.card = card, .facts = {.device = card.device, .chip = card.chip}}});
  }
  written_ = *text;
}

CardBook::Entry& CardBook::entry_of(const std::string& key, std::map<std::string, std::size_t>& by_key) {
  const auto known = by_key.find(key);
  if (known != by_key.end()) return entries_[known->second];
  const auto is_free = [&](const Entry& entry) {
    return is_partition(entry.last) && !entry.is_here && by_key.contains(entry.key);
  };
  auto place = std::find_if(entries_.begin(), entries_.end(), is_free);
  if (place == entries_.end()) place = entries_.insert(entries_.end(), Entry{});
  by_key.erase(place->key);
  *place = {.key = key};
  by_key[key] = static_cast<std::size_t>(place - entries_.begin());
  return *place;
}

void CardBook::take(Entry& entry, SeenCard seen) {
  if (!entry.is_here) {
    entry.first_error_count.reset();
    entry.failure.clear();
  }
  entry.is_here = true;
  if (!entry.first_error_count) entry.first_error_count = seen.error_count;
  if (!seen.failure.empty() && entry.failure.empty()) entry.failure = std::move(seen.failure);
  if (entry.failure.empty() && seen.error_count && *seen.error_count > *entry.first_error_count) {
    entry.failure = fmt::format("{} uncorrectable PCIe errors since busbar started (AER)",
                                *seen.error_count - *entry.first_error_count);
  }
  entry.last = std::move(seen.found);
  if (!seen.fault.empty()) {
    set_unhealthy(entry.last, std::move(seen.fault));
  } else if (!entry.failure.empty()) {
    set_unhealthy(entry.last, entry.failure);
  }
}

std::vector<engine::ProbedCard> CardBook::update(std::vector<SeenCard> seen) {
  std::map<std::string, std::size_t> by_key;
  for (std::size_t i = 0; i < entries_.size(); ++i) by_key[entries_[i].key] = i;
  Keys keys;
  std::vector<std::string> names;
  for (const SeenCard& card : seen) names.push_back(keys.next(card.found.card.device));
  // Known ones first, so that a new card takes only an index that nobody comes back for.
  std::vector<bool> was_here(entries_.size());
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    was_here[i] = entries_[i].is_here;
    entries_[i].is_here = std::find(names.begin(), names.end(), entries_[i].key) != names.end();
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    Entry& entry = entry_of(names[i], by_key);
    const std::size_t index = static_cast<std::size_t>(&entry - entries_.data());
    entry.is_here = index < was_here.size() && was_here[index];
    take(entry, std::move(seen[i]));
  }
  while (!entries_.empty() && !entries_.back().is_here && is_cpu(entries_.back().last)) entries_.pop_back();
  std::vector<engine::ProbedCard> cards;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    entry.last.card.index = static_cast<std::uint16_t>(i);
    if (!entry.is_here) {
      set_unhealthy(entry.last, is_cpu(entry.last) ? "is offline" : "was here before and is gone");
      entry.last.reading = {};
    }
    cards.push_back(entry.last);
  }
  if (!file_.empty()) write();
  return cards;
}

void CardBook::write() {
  model::Node node{.id = {1}, .name = "cards"};
  for (const Entry& entry : entries_) {
    node.cards.push_back(entry.last.card);
    node.cards.back().health = model::CardHealth::kHealthy;  // A matter of now, not of the record.
  }
  std::string text = model::to_json(node).dump_pretty();
  if (text == written_) return;
  if (const auto done = os::write_file_atomic(file_, text, 0644); !done) {
    problems_.push_back({.path = file_, .message = done.error().to_string()});
    return;
  }
  written_ = std::move(text);
}

std::vector<engine::ProbeProblem> CardBook::take_problems() {
  return std::exchange(problems_, {});
}

}  // namespace busbar::chip::probe

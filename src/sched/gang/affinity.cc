#include "sched/gang/affinity.h"

#include <algorithm>
#include <string>

#include "sched/windows/closed.h"

namespace busbar::sched::gang {
namespace {

using internal::JobRecord;
using internal::State;

bool share_a_tag(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::any_of(a.begin(), a.end(),
                     [&](const std::string& tag) { return std::find(b.begin(), b.end(), tag) != b.end(); });
}

void append_nodes(const model::Placement& placement, std::vector<model::NodeId>& nodes) {
  for (const model::TaskPlacement& task : placement.tasks) {
    nodes.push_back(task.node);
  }
}

}  // namespace

std::vector<model::NodeId> nodes_kept_apart(const State& state, const JobRecord& record) {
  const JobRequest& request = record.request();
  if (state.avoided().empty()) {
    return {};
  }
  const std::vector<std::string> tags = internal::tags_of(request);
  const bool is_avoided =
      std::any_of(tags.begin(), tags.end(), [&](const std::string& tag) { return state.avoided().contains(tag); });
  if (request.avoid.empty() && !is_avoided) {
    return {};
  }
  std::vector<model::NodeId> nodes;
  const auto consider = [&](model::JobId id) {
    const JobRecord& other = *state.jobs().find(id);
    if (id != record.id() &&
        (share_a_tag(request.avoid, internal::tags_of(other.request())) || share_a_tag(other.request().avoid, tags))) {
      if (other.occupied() != nullptr) append_nodes(other.occupied()->placement, nodes);
      if (other.claim != nullptr) append_nodes(other.claim->placement, nodes);
    }
  };
  for (const auto& [id, nothing] : state.live()) {
    consider(id);
  }
  for (const auto& [id, version] : state.kept()) {
    consider(id);
  }
  for (const internal::Hold& hold : state.holds()) {
    consider(hold.job);
  }
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return nodes;
}

std::vector<model::NodeId> nodes_barred(const State& state, const JobRecord& record) {
  std::vector<model::NodeId> barred = nodes_kept_apart(state, record);
  const std::vector<model::NodeId> closed = windows::closed_nodes(state, record, state.now_ms());
  barred.insert(barred.end(), closed.begin(), closed.end());
  return barred;
}

std::shared_ptr<const place::NodeFilter> nodes_allowed(const State& state, const JobRecord& record,
                                                       const std::vector<model::NodeId>& away) {
  std::vector<model::NodeId> barred = nodes_barred(state, record);
  barred.insert(barred.end(), record.excluded.begin(), record.excluded.end());
  barred.insert(barred.end(), away.begin(), away.end());
  return place::all_but(state.free_map(), barred);
}

}  // namespace busbar::sched::gang

#pragma once

#include "base/error.h"
#include "base/json.h"
#include "model/cluster.h"
#include "model/job.h"

namespace busbar::model {

/// Plain values <-> JSON, as the API shows them and the store keeps them. Keys are the job file's own (design §8), so
/// `to_json(JobSpec)` is itself a valid job file. Readers refuse wrong types and unknown keys; absent keys give the
/// field's default. Pure.
Json to_json(const JobSpec& spec);
Result<JobSpec> job_spec_from_json(const Json& json);
Json to_json(const Placement& placement);
Result<Placement> placement_from_json(const Json& json);
Json to_json(const Node& node);
Result<Node> node_from_json(const Json& json);
Json to_json(const Queue& queue);
Result<Queue> queue_from_json(const Json& json);

}  // namespace busbar::model

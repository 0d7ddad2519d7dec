#pragma once

#include "base/error.h"
#include "base/json.h"
#include "model/service.h"

namespace busbar::model {

/// In the words of the job file, defaults included where they matter to users; reads back to the same value.
Json to_json(const ServiceSpec& service);
/// kInvalidArgument names the key.
Result<ServiceSpec> service_from_json(const Json& json);

/// {} where nothing differs from the defaults.
Json to_json(const TrafficPolicy& traffic);

}  // namespace busbar::model

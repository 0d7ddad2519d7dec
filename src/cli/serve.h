#pragma once

#include <string>

#include "api/types.h"
#include "base/error.h"
#include "cli/context.h"
#include "cli/describe.h"

/// Services on the command line.
namespace busbar::cli {

/// `busbar services`.
std::string services_table(const std::vector<api::ServiceStatus>& services, const Look& look);
/// A service with its replicas.
std::string describe_service(const api::ServiceStatus& service, const Look& look);
/// "service chat revision 2: 1 of 2 ready"
std::string service_line(const api::ServiceStatus& service);

/// After a service was applied: waits until it is as it was asked for, showing how it gets on, and says where it
/// answers. kUnavailable with the reason when its replicas keep failing.
Result<int> follow_service(Context& context, api::ServiceStatus service);
/// Where a service answers, and what to do next.
std::string how_to_reach(const api::ServiceStatus& service);

}  // namespace busbar::cli

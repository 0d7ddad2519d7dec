#pragma once

#include <memory>
#include <string_view>

#include "api/routes.h"
#include "base/clock.h"
#include "control/metrics.h"
#include "net/server.h"

namespace busbar::control {

/// What requests are counted under: a few classes, so that a dashboard stays readable.
std::string_view route_class(api::Operation operation);
inline constexpr std::string_view kUnroutedClass = "unrouted";

/// The same exchange, which counts its request by class and status and times it from now to the beginning of its answer
/// (busbar_api_requests_total, busbar_api_answer_seconds). Borrows metrics and clock, which must outlive it.
std::shared_ptr<net::HttpExchange> measured(std::shared_ptr<net::HttpExchange> exchange, std::string_view route_class,
                                            Metrics& metrics, const Clock& clock);

}  // namespace busbar::control

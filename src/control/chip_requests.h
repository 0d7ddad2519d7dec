#pragma once

#include <vector>

#include "base/error.h"
#include "chip/catalogue.h"
#include "chip/match.h"
#include "launch/job_file.h"
#include "model/job.h"

/// From the names of chips that users write to the ids that cards have.
namespace busbar::control {

/// What the job asks for, in its own words: any_of, or resources.accelerators, or nothing.
std::vector<model::AcceleratorRequest> requested_cards(const model::JobSpec& spec);

/// What the job asks of each card of one of its requests, beside its name. The precision, of the request or else of the
/// job, counts only where there is a minimum or no exact name: see `chip::match`.
chip::CardNeeds card_needs(const model::JobSpec& spec, const model::AcceleratorRequest& request);

/// The alternatives for the scheduler, best first: each name becomes the chips that it means; "cpu" stays, and so does
/// "any card" where nothing more is asked for. A chip that two names mean is kept where it comes first.
Result<std::vector<model::AcceleratorRequest>> expand_accelerators(const chip::Catalogue& catalogue,
                                                                   const model::JobSpec& spec);

/// Adds an error to the job for each request that no chip of the catalogue can meet, at the place where it stands.
void check_chips(const chip::Catalogue& catalogue, launch::ParsedJob& job);

}  // namespace busbar::control

#pragma once

#include <string>
#include <vector>

#include "api/types.h"
#include "base/units.h"
#include "cli/output.h"

/// Answers of the API as text for people. Pure: the same value, time and look give the same text.
namespace busbar::cli {

struct Look {
  int width = 0;  ///< 0: no limit.
  bool has_colour = false;
  TimeMs now_ms = 0;
};

Style state_style(model::JobState state);
/// "17 digits"; "17 digits[3]" for a member of an array.
std::string job_title(const api::JobStatus& job);
/// "exit code 3 (user)", "cancelled", "" while it is not over.
std::string job_ending(const api::JobStatus& job);

/// `busbar describe`.
std::string describe_job(const api::JobStatus& job, const Look& look);
/// What is worth saying when a job that was watched is over: how it ended, its metrics, where the time went, logs.
std::string summarise_job(const api::JobStatus& job, const Look& look);
/// `busbar why`.
std::string describe_why(const api::WhyAnswer& why, const Look& look);

/// `busbar ps`, `nodes`, `cards`, `queues`, `events`, `secret list`.
std::string jobs_table(const std::vector<api::JobStatus>& jobs, const Look& look);
std::string nodes_table(const std::vector<api::NodeStatus>& nodes, const Look& look);
std::string cards_table(const std::vector<api::CardStatus>& cards, const Look& look);
std::string reservations_table(const std::vector<api::ReservationStatus>& reservations, const Look& look);
std::string queues_table(const std::vector<api::QueueStatus>& queues, const Look& look);
/// `busbar policy diff`.
std::string queue_diff_text(const api::QueueDiff& diff, const Look& look);
/// `busbar usage`.
std::string usage_table(const api::UsageList& usage, const Look& look);
std::string usage_csv(const api::UsageList& usage);
std::string secrets_table(const std::vector<api::SecretStatus>& secrets, const Look& look);
/// One line: time, job, kind, text.
std::string event_line(const api::EventStatus& event, const Look& look);

}  // namespace busbar::cli

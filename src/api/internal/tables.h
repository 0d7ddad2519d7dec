#pragma once

#include "api/internal/fields.h"
#include "api/types.h"

/// The types that have a table of fields (tables_jobs.cc, tables_cluster.cc). A new field is one line there; a new type
/// also joins this list, which gives it its readers, its writer and its place in the OpenAPI document.
/// (Laid out by hand: clang-format would indent each line more than the one before.)
// clang-format off
#define BUSBAR_API_TYPES(EACH)                                                                                        \
  EACH(Diagnostic) EACH(SubmitRequest) EACH(TaskStatus) EACH(AttemptStatus) EACH(ProgressStatus)                      \
  EACH(EfficiencyStatus) EACH(JobStatus) EACH(ReplicaStatus) EACH(ServiceStatus) EACH(ServiceList)                    \
  EACH(SubmitAnswer) EACH(JobList) EACH(ChangeStatus) EACH(WhyAnswer) EACH(WhenAnswer) EACH(CardStatus)               \
  EACH(NodeStatus) EACH(NodeList) EACH(CardList) EACH(QueueRequest) EACH(QueueStatus) EACH(QueueList)                 \
  EACH(QueueDiffRequest) EACH(JobChange) EACH(QueueDiff) EACH(UsageRow) EACH(UsageList) EACH(ReservationRequest)      \
  EACH(ReservationStatus) EACH(ReservationList) EACH(EventStatus) EACH(EventList) EACH(KeyRequest) EACH(KeyStatus)    \
  EACH(KeyList) EACH(TenantRequest) EACH(TenantStatus) EACH(TenantList) EACH(SecretStatus) EACH(SecretList)           \
  EACH(LogLine) EACH(ServerStatus)
// clang-format on

namespace busbar::api::internal {

/// What an error's object holds; ErrorBody itself is read leniently (error_body.cc).
struct ErrorFields {
  std::string code = {};
  std::string message = {};
  std::string cause = {};
  bool is_retryable = false;
  std::vector<Diagnostic> diagnostics = {};
};
struct ErrorAnswer {
  ErrorFields error = {};
};

#define BUSBAR_DECLARE_TABLE(Type) \
  template <>                      \
  const ObjectTable& table_of<Type>();
BUSBAR_API_TYPES(BUSBAR_DECLARE_TABLE)
BUSBAR_DECLARE_TABLE(ServerStatus::Capability)
BUSBAR_DECLARE_TABLE(ErrorFields)
BUSBAR_DECLARE_TABLE(ErrorAnswer)
#undef BUSBAR_DECLARE_TABLE

}  // namespace busbar::api::internal

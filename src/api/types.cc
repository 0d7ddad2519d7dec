#include "api/types.h"

#include "api/internal/tables.h"

namespace busbar::api {

using internal::read_object;
using internal::UnknownKeys;
using internal::write_object;

template <class T>
Result<T> from_json(const Json& json) {
  return read_object<T>(json, UnknownKeys::kIgnore);
}

template <class T>
Result<T> from_json_strict(const Json& json) {
  return read_object<T>(json, UnknownKeys::kRefuse);
}

Json to_json(const Diagnostic& value) {
  return write_object(value);
}
Json to_json(const SubmitRequest& value) {
  return write_object(value);
}
Json to_json(const TaskStatus& value) {
  return write_object(value);
}
Json to_json(const AttemptStatus& value) {
  return write_object(value);
}
Json to_json(const ProgressStatus& value) {
  return write_object(value);
}
Json to_json(const EfficiencyStatus& value) {
  return write_object(value);
}
Json to_json(const JobStatus& value) {
  return write_object(value);
}
Json to_json(const ReplicaStatus& value) {
  return write_object(value);
}
Json to_json(const ServiceStatus& value) {
  return write_object(value);
}
Json to_json(const ServiceList& value) {
  return write_object(value);
}
Json to_json(const SubmitAnswer& value) {
  return write_object(value);
}
Json to_json(const JobList& value) {
  return write_object(value);
}
Json to_json(const ChangeStatus& value) {
  return write_object(value);
}
Json to_json(const WhyAnswer& value) {
  return write_object(value);
}
Json to_json(const WhenAnswer& value) {
  return write_object(value);
}
Json to_json(const CardStatus& value) {
  return write_object(value);
}
Json to_json(const NodeStatus& value) {
  return write_object(value);
}
Json to_json(const NodeList& value) {
  return write_object(value);
}
Json to_json(const CardList& value) {
  return write_object(value);
}
Json to_json(const QueueRequest& value) {
  return write_object(value);
}
Json to_json(const QueueStatus& value) {
  return write_object(value);
}
Json to_json(const QueueList& value) {
  return write_object(value);
}
Json to_json(const QueueDiffRequest& value) {
  return write_object(value);
}
Json to_json(const JobChange& value) {
  return write_object(value);
}
Json to_json(const QueueDiff& value) {
  return write_object(value);
}
Json to_json(const UsageRow& value) {
  return write_object(value);
}
Json to_json(const UsageList& value) {
  return write_object(value);
}
Json to_json(const ReservationRequest& value) {
  return write_object(value);
}
Json to_json(const ReservationStatus& value) {
  return write_object(value);
}
Json to_json(const ReservationList& value) {
  return write_object(value);
}
Json to_json(const EventStatus& value) {
  return write_object(value);
}
Json to_json(const EventList& value) {
  return write_object(value);
}
Json to_json(const KeyRequest& value) {
  return write_object(value);
}
Json to_json(const KeyStatus& value) {
  return write_object(value);
}
Json to_json(const KeyList& value) {
  return write_object(value);
}
Json to_json(const TenantRequest& value) {
  return write_object(value);
}
Json to_json(const TenantStatus& value) {
  return write_object(value);
}
Json to_json(const TenantList& value) {
  return write_object(value);
}
Json to_json(const SecretStatus& value) {
  return write_object(value);
}
Json to_json(const SecretList& value) {
  return write_object(value);
}
Json to_json(const LogLine& value) {
  return write_object(value);
}
Json to_json(const ServerStatus& value) {
  return write_object(value);
}

template Result<Diagnostic> from_json(const Json& json);
template Result<SubmitRequest> from_json(const Json& json);
template Result<TaskStatus> from_json(const Json& json);
template Result<AttemptStatus> from_json(const Json& json);
template Result<ProgressStatus> from_json(const Json& json);
template Result<EfficiencyStatus> from_json(const Json& json);
template Result<JobStatus> from_json(const Json& json);
template Result<ReplicaStatus> from_json(const Json& json);
template Result<ServiceStatus> from_json(const Json& json);
template Result<ServiceList> from_json(const Json& json);
template Result<SubmitAnswer> from_json(const Json& json);
template Result<JobList> from_json(const Json& json);
template Result<ChangeStatus> from_json(const Json& json);
template Result<WhyAnswer> from_json(const Json& json);
template Result<WhenAnswer> from_json(const Json& json);
template Result<CardStatus> from_json(const Json& json);
template Result<NodeStatus> from_json(const Json& json);
template Result<NodeList> from_json(const Json& json);
template Result<CardList> from_json(const Json& json);
template Result<QueueRequest> from_json(const Json& json);
template Result<QueueStatus> from_json(const Json& json);
template Result<QueueList> from_json(const Json& json);
template Result<QueueDiffRequest> from_json(const Json& json);
template Result<JobChange> from_json(const Json& json);
template Result<QueueDiff> from_json(const Json& json);
template Result<UsageRow> from_json(const Json& json);
template Result<UsageList> from_json(const Json& json);
template Result<ReservationRequest> from_json(const Json& json);
template Result<ReservationStatus> from_json(const Json& json);
template Result<ReservationList> from_json(const Json& json);
template Result<EventStatus> from_json(const Json& json);
template Result<EventList> from_json(const Json& json);
template Result<KeyRequest> from_json(const Json& json);
template Result<KeyStatus> from_json(const Json& json);
template Result<KeyList> from_json(const Json& json);
template Result<TenantRequest> from_json(const Json& json);
template Result<TenantStatus> from_json(const Json& json);
template Result<TenantList> from_json(const Json& json);
template Result<SecretStatus> from_json(const Json& json);
template Result<SecretList> from_json(const Json& json);
template Result<LogLine> from_json(const Json& json);
template Result<ServerStatus> from_json(const Json& json);

template Result<SubmitRequest> from_json_strict(const Json& json);
template Result<QueueRequest> from_json_strict(const Json& json);
template Result<QueueDiffRequest> from_json_strict(const Json& json);
template Result<KeyRequest> from_json_strict(const Json& json);
template Result<TenantRequest> from_json_strict(const Json& json);
template Result<ReservationRequest> from_json_strict(const Json& json);

}  // namespace busbar::api

#include "api/types.h"

#include "api/internal/tables.h"

namespace busbar::api {
namespace {

template <class T>
Result<T> read_as(const Json& json, internal::UnknownKeys unknown_keys) {
  T value;
  TRY(internal::read_object(&value, internal::table_of<T>(), json, unknown_keys));
  return value;
}

}  // namespace

template <class T>
Result<T> from_json(const Json& json) {
  return read_as<T>(json, internal::UnknownKeys::kIgnore);
}

template <class T>
Result<T> from_json_strict(const Json& json) {
  return read_as<T>(json, internal::UnknownKeys::kRefuse);
}

#define BUSBAR_DEFINE_JSON(Type)                                       \
  Json to_json(const Type& value) {                                    \
    return internal::write_object(&value, internal::table_of<Type>()); \
  }                                                                    \
  template Result<Type> from_json(const Json& json);
BUSBAR_API_TYPES(BUSBAR_DEFINE_JSON)
#undef BUSBAR_DEFINE_JSON

template Result<SubmitRequest> from_json_strict(const Json& json);
template Result<QueueRequest> from_json_strict(const Json& json);
template Result<QueueDiffRequest> from_json_strict(const Json& json);
template Result<KeyRequest> from_json_strict(const Json& json);
template Result<TenantRequest> from_json_strict(const Json& json);
template Result<ReservationRequest> from_json_strict(const Json& json);

}  // namespace busbar::api

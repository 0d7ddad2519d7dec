#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// What gRPC over HTTP/2 says in fields and trailers (grpc/doc/PROTOCOL-HTTP2.md).
namespace busbar::gateway::internal {

inline constexpr int kGrpcDeadlineExceeded = 4;
inline constexpr int kGrpcUnavailable = 14;

/// The status of gRPC that says what an answer of ours with this HTTP status would.
int grpc_status_of(int http_status);
/// "grpc-status: 14" CR LF "grpc-message: ..." CR LF; the message percent-encoded.
void append_grpc_status(std::string& lines, int status, std::string_view message);
/// The status in field lines, -1 if there is none.
int find_grpc_status(std::string_view lines);
/// A number's text, "0" to "16" as of now; -1 for another.
int parse_grpc_status(std::string_view text);
/// What the replica is to blame for, as with a 5xx: UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS.
bool is_grpc_failure(int status);
/// Grpc-Timeout: up to eight digits and a unit (H, M, S, m, u, n). 0: none, or a day and more.
std::int64_t grpc_timeout_us(std::string_view text);

}  // namespace busbar::gateway::internal

// What happens when time is up.

#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {

void Worker::expire(TimerNode& node) {
  switch (node.owner) {
    case TimerOwner::kClient: {
      auto& client = static_cast<Client&>(node);
      if (client.kind == SocketKind::kStream) {
        // A head that does not end holds all of the connection up.
        close_client(*static_cast<Stream&>(client).connection);
        return;
      }
      if (Channel* const channel = channel_of(client); channel != nullptr && channel->http2 != nullptr) {
        http2_expired(client);
        return;
      }
      // While a request is under way its own timer counts; the client's stays armed, which is cheaper.
      if (client.exchange != nullptr) {
        timers_.arm(client, now_us_ / 1000 + settings_.idle_timeout_ms);
      } else {
        close_client(client);
      }
      return;
    }
    case TimerOwner::kUpstream: {
      auto& upstream = static_cast<Upstream&>(node);
      if (upstream.exchange == nullptr) {
        close_upstream(upstream);
      } else if (upstream.exchange->hedge == &upstream) {
        drop_hedge(*upstream.exchange);
      } else if (!upstream.is_connected) {
        upstream_failed(*upstream.exchange, "the replica did not accept the connection in time");
      }
      return;
    }
    case TimerOwner::kTrunk:
      trunk_expired(static_cast<Trunk&>(node));
      return;
    case TimerOwner::kErrand:
      finish_errand(static_cast<Errand&>(node));
      return;
    case TimerOwner::kExchange:
      exchange_expired(static_cast<Exchange&>(node));
      return;
    case TimerOwner::kNone:
      return;
  }
}

void Worker::exchange_expired(Exchange& exchange) {
  if (exchange.is_waiting) {
    stop_waiting(exchange, Waited::kInVain);
    exchange.service->counters->shed.add(1);
    fail(exchange, 503, "no replica could take the request in time", 1);
  } else if (exchange.request_phase == RequestPhase::kHead) {
    if (exchange.input.empty()) {
      close_client(*exchange.client);
    } else {
      fail(exchange, 408, "the request's head did not arrive in time");
    }
  } else if (exchange.request_phase != RequestPhase::kComplete && exchange.request_phase != RequestPhase::kTunnel) {
    fail(exchange, 408, "the request's body stopped");
  } else if (exchange.response_phase == ResponsePhase::kHead && hedge_after_ms(exchange) > 0 &&
             (exchange.deadline_us == 0 || now_us_ < exchange.deadline_us)) {
    start_hedge(exchange);
    arm_response(exchange);
  } else if (exchange.response_phase == ResponsePhase::kHead) {
    leave_endpoint(exchange, true);
    fail(exchange, 504, "the replica did not answer in time");
  } else {
    // Too late for another answer: the client sees that this one is cut.
    exchange.has_failed = true;
    cut_answer(exchange, 504, "the replica's answer stopped");
  }
}

}  // namespace busbar::gateway::internal

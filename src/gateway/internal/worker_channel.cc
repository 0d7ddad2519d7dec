// What lies between a client's socket and its requests: nothing for plain HTTP/1, else a channel.

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>

#include "gateway/internal/worker.h"

namespace busbar::gateway::internal {
namespace {

constexpr std::string_view kSpeakTls =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 55\r\nConnection: close\r\n\r\n"
    "this port speaks TLS; use https:// in place of http://\n";

}  // namespace

Channel* Worker::channel_of(const Client& client) const {
  return client.channel == 0 ? nullptr : channels_[client.channel].get();
}

bool Worker::is_secure(const Client& client) const {
  const Channel* const channel = channel_of(client);
  return channel != nullptr && channel->tls != nullptr;
}

// False: closed, since enough handshakes are under way.
bool Worker::open_secure(Client& client) {
  if (handshakes_ >= settings_.max_handshakes || identities_ == nullptr) {
    counters_.handshake_errors.add(1);
    close_client(client);
    return false;
  }
  ++handshakes_;
  open_channel(client).tls = std::make_unique<TlsConnection>(identities_, client.fd);
  return true;
}

Channel& Worker::open_channel(Client& client) {
  if (channels_.empty()) channels_.push_back(nullptr);
  if (free_channels_.empty()) {
    free_channels_.push_back(static_cast<std::uint32_t>(channels_.size()));
    channels_.push_back(nullptr);
  }
  client.channel = free_channels_.back();
  free_channels_.pop_back();
  channels_[client.channel] = std::make_unique<Channel>(Channel{.index = client.channel});
  return *channels_[client.channel];
}

void Worker::close_channel(Client& client) {
  Channel& channel = *channels_[client.channel];
  if (channel.tls != nullptr) {
    if (!channel.tls->is_established()) --handshakes_;
    if (!client.is_lingering) channel.tls->finish();
  }
  if (channel.http2 != nullptr) close_http2(*channel.http2);
  // An event of this round may still point at its streams.
  closed_channels_.push_back(std::move(channels_[client.channel]));
  free_channels_.push_back(client.channel);
  client.channel = 0;
}

// False: not done yet, or failed and closed.
bool Worker::shake_hands(Client& client) {
  switch (channel_of(client)->tls->handshake()) {
    case TlsConnection::Handshake::kDone:
      --handshakes_;
      counters_.handshakes.add(1);
      timers_.arm(client, now_us_ / 1000 + settings_.idle_timeout_ms);
      if (channel_of(client)->tls->speaks_http2()) open_http2(client);
      return true;
    case TlsConnection::Handshake::kAgain:
      if (client.has_hangup) break;
      client.is_readable = false;
      return false;
    case TlsConnection::Handshake::kPlainHttp:
      static_cast<void>(send(client.fd, kSpeakTls.data(), kSpeakTls.size(), MSG_NOSIGNAL));
      break;
    case TlsConnection::Handshake::kFailed:
      break;
  }
  counters_.handshake_errors.add(1);
  close_client(client);
  return false;
}

// As recv, into the scratch buffer; afterwards `is_readable` says whether another call may give something.
ssize_t Worker::receive(Client& client) {
  if (Channel* const channel = channel_of(client); channel != nullptr && channel->tls != nullptr) {
    const ssize_t count = channel->tls->receive(scratch_.get(), kScratchBytes);
    client.is_readable = channel->tls->may_have_more();
    return count;
  }
  const ssize_t count = recv(client.fd, scratch_.get(), kScratchBytes, 0);
  if (count < 0) {
    client.is_readable = errno == EINTR;
  } else if (static_cast<std::size_t>(count) < kScratchBytes && !client.has_hangup) {
    client.is_readable = false;
  }
  return count;
}

// As send, of both.
ssize_t Worker::transmit(Client& client, std::string_view head, std::string_view body) {
  if (Channel* const channel = channel_of(client); channel != nullptr && channel->tls != nullptr) {
    return channel->tls->transmit(head, body);
  }
  iovec parts[2] = {{const_cast<char*>(head.data()), head.size()}, {const_cast<char*>(body.data()), body.size()}};
  msghdr message = {};
  message.msg_iov = head.empty() ? parts + 1 : parts;
  message.msg_iovlen = (head.empty() ? 0U : 1U) + (body.empty() && !head.empty() ? 0U : 1U);
  return sendmsg(client.fd, &message, MSG_NOSIGNAL);
}

bool Worker::flush_client(Exchange& exchange) {
  Client& client = *exchange.client;
  const std::string_view bytes = exchange.pending.view();
  const ssize_t count = transmit(client, bytes, {});
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR) {
      client_gone(client);
      return false;
    }
    client.is_writable = errno == EINTR;
    return true;
  }
  client.is_writable = static_cast<std::size_t>(count) == bytes.size();
  exchange.pending.consume(static_cast<std::size_t>(count));
  arm(exchange, settings_.body_timeout_ms);
  if (!exchange.pending.empty() || exchange.response_phase != ResponsePhase::kComplete) return true;
  finish_if_done(exchange);
  return client.exchange == &exchange && client.fd >= 0;
}

// False when the client has gone, and the exchange with it.
bool Worker::send_client(Exchange& exchange, std::string_view head, std::string_view body) {
  Client& client = *exchange.client;
  std::size_t sent = 0;
  if (exchange.pending.empty() && client.is_writable) {
    const ssize_t count = transmit(client, head, body);
    if (count < 0 && errno != EAGAIN && errno != EINTR) {
      client_gone(client);
      return false;
    }
    sent = count < 0 ? 0 : static_cast<std::size_t>(count);
    if (sent < head.size() + body.size()) client.is_writable = false;
  }
  if (sent < head.size()) exchange.pending.append(head.substr(sent));
  const std::size_t of_body = sent > head.size() ? sent - head.size() : 0;
  if (of_body < body.size()) exchange.pending.append(body.substr(of_body));
  if (client.kind == SocketKind::kStream) wake(static_cast<Stream&>(client));
  return true;
}

bool Worker::send_continue(Exchange& exchange) {
  if (exchange.client->kind != SocketKind::kStream) return send_client(exchange, "HTTP/1.1 100 Continue\r\n\r\n", {});
  auto& stream = static_cast<Stream&>(*exchange.client);
  stream.session->send_continue(stream);
  mark_dirty(*stream.connection);
  return true;
}

}  // namespace busbar::gateway::internal

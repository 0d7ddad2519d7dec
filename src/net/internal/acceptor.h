#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <memory>

#include "net/internal/connection.h"
#include "net/internal/listen.h"
#include "net/internal/server_context.h"

namespace busbar::net {

/// Accepts the connections of one listening socket. Uses accept4 itself: descriptors are close-on-exec from birth (the
/// server starts containers all the time), and errno decides what to do: out of descriptors pauses instead of spinning.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  Acceptor(std::shared_ptr<ServerContext> context, ListenSocket socket);

  void start();
  void stop();  ///< Thread-safe.

 private:
  void wait();
  void accept_some();
  void take(int fd);
  void pause();

  const std::shared_ptr<ServerContext> context_;
  ListenSocket socket_;
  Connection::Strand strand_;
  boost::asio::posix::stream_descriptor descriptor_;
  boost::asio::steady_timer timer_;
  bool is_stopped_ = false;
};

}  // namespace busbar::net

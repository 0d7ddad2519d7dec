#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/local/internal/reactor.h"
#include "os/process.h"
#include "os/unique_fd.h"

namespace busbar::engine {

/// Moves bytes between descriptors and a session's callbacks, on the reactor's thread. What is behind the descriptors
/// (pipes, a terminal's master, conmon's attach socket) is told by which functions are called.
///
/// Every function is thread-safe. After `close` has returned no callback runs or will run, unless the call came from
/// inside one.
class TerminalIo : public std::enable_shared_from_this<TerminalIo> {
 public:
  TerminalIo(std::shared_ptr<Reactor> reactor, TerminalSession::Callbacks callbacks)
      : reactor_(std::move(reactor)), callbacks_(std::move(callbacks)) {}
  ~TerminalIo();

  /// Output to `stream`; the end of the descriptor ends the stream.
  void add_output(int stream, os::UniqueFd fd);
  void set_input(os::UniqueFd fd);
  /// One descriptor for both ways.
  void set_terminal(os::UniqueFd fd, std::uint16_t rows, std::uint16_t columns);
  /// conmon's attach socket: packets whose first byte names the stream.
  void set_attach_socket(os::UniqueFd fd);
  /// The process whose end is the session's end.
  void set_process(os::Process process);

  /// As TerminalSession::write_input.
  bool write_input(std::string_view bytes);
  void close_input();
  void resize(std::uint16_t rows, std::uint16_t columns);
  void signal(int number);
  void pause_output(bool is_paused);
  /// What is left of the output is delivered, then on_exit.
  void finish(int exit_code);
  void close();
  /// The first half of close: no callback any more, but the process lives and what it writes is read and dropped.
  void silence();
  /// On the reactor's thread only: the process has ended and been reaped (or there never was one).
  bool has_ended() const { return !process_; }

 private:
  struct Channel {
    os::UniqueFd fd = {};
    int stream = 0;
    bool is_packets = false;
    bool can_write = false;  ///< Also the way of the input.
  };

  void watch(Channel& channel);
  std::uint32_t wanted_events(const Channel& channel) const;
  void update_events();
  void on_event(std::size_t index, std::uint32_t events);
  /// Reads once; false when there is nothing more now.
  bool read_some(Channel& channel);
  void close_channel(Channel& channel);
  void flush_input();
  void take_input(std::size_t bytes);
  void reap();
  void try_exit();
  void release_all();
  void emit(int stream, std::string_view bytes);

  const std::shared_ptr<Reactor> reactor_;
  std::recursive_mutex callback_mutex_;  ///< Held during callbacks; a callback may close the session.
  TerminalSession::Callbacks callbacks_;
  std::atomic<bool> is_closed_ = false;

  std::mutex input_mutex_;
  std::size_t waiting_input_bytes_ = 0;  // guarded by input_mutex_
  bool is_input_full_ = false;           // guarded by input_mutex_

  // Only the reactor's thread.
  std::array<Channel, 2> outputs_;
  os::UniqueFd input_;  ///< Only for pipes.
  bool is_input_watched_ = false;
  std::optional<os::Process> process_;
  std::string pending_input_;
  bool is_input_closing_ = false;
  bool is_paused_ = false;
  std::optional<int> exit_code_;
};

}  // namespace busbar::engine

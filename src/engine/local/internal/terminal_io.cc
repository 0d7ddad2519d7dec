#include "engine/local/internal/terminal_io.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

namespace busbar::engine {
namespace {

constexpr std::size_t kReadSize = 65536;
/// conmon reads packets into a buffer of 32 KiB.
constexpr std::size_t kMaxPacket = 8192;

void make_nonblocking(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void set_size(int fd, std::uint16_t rows, std::uint16_t columns) {
  winsize size{};
  size.ws_row = rows;
  size.ws_col = columns;
  ::ioctl(fd, TIOCSWINSZ, &size);
}

}  // namespace

TerminalIo::~TerminalIo() {
  release_all();
}

void TerminalIo::add_output(int stream, os::UniqueFd fd) {
  make_nonblocking(fd.get());
  reactor_->post([self = shared_from_this(), stream, raw = fd.release()] {
    Channel& channel = self->outputs_.at(self->outputs_[0].fd.is_valid() ? 1 : 0);
    channel = {.fd = os::UniqueFd(raw), .stream = stream};
    self->watch(channel);
  });
}

void TerminalIo::set_input(os::UniqueFd fd) {
  make_nonblocking(fd.get());
  reactor_->post([self = shared_from_this(), raw = fd.release()] {
    self->input_ = os::UniqueFd(raw);
    self->flush_input();
  });
}

void TerminalIo::set_terminal(os::UniqueFd fd, std::uint16_t rows, std::uint16_t columns) {
  make_nonblocking(fd.get());
  set_size(fd.get(), rows, columns);
  reactor_->post([self = shared_from_this(), raw = fd.release()] {
    self->outputs_[0] = {.fd = os::UniqueFd(raw), .stream = 1, .can_write = true};
    self->watch(self->outputs_[0]);
    self->flush_input();
  });
}

void TerminalIo::set_attach_socket(os::UniqueFd fd) {
  make_nonblocking(fd.get());
  reactor_->post([self = shared_from_this(), raw = fd.release()] {
    self->outputs_[0] = {.fd = os::UniqueFd(raw), .stream = 1, .is_packets = true, .can_write = true};
    self->watch(self->outputs_[0]);
    self->flush_input();
  });
}

void TerminalIo::set_process(os::Process process) {
  reactor_->post([self = shared_from_this(), holder = std::make_shared<os::Process>(std::move(process))] {
    self->process_ = std::move(*holder);
    (void)self->reactor_->add(self->process_->pidfd(), EPOLLIN, [self](std::uint32_t) { self->reap(); });
  });
}

void TerminalIo::reap() {
  const auto status = process_->wait(std::chrono::milliseconds(0));
  if (!status) {
    return;
  }
  reactor_->remove(process_->pidfd());
  process_.reset();
  exit_code_ = status->signal != 0 ? 128 + status->signal : status->exit_code;
  try_exit();
}

void TerminalIo::watch(Channel& channel) {
  const auto index = static_cast<std::size_t>(&channel - outputs_.data());
  (void)reactor_->add(channel.fd.get(), wanted_events(channel),
                      [self = shared_from_this(), index](std::uint32_t events) { self->on_event(index, events); });
}

std::uint32_t TerminalIo::wanted_events(const Channel& channel) const {
  std::uint32_t events = is_paused_ ? 0U : static_cast<std::uint32_t>(EPOLLIN);
  if (channel.can_write && !pending_input_.empty()) {
    events |= EPOLLOUT;
  }
  return events;
}

void TerminalIo::update_events() {
  for (Channel& channel : outputs_) {
    if (channel.fd.is_valid()) {
      reactor_->modify(channel.fd.get(), wanted_events(channel));
    }
  }
}

void TerminalIo::on_event(std::size_t index, std::uint32_t events) {
  Channel& channel = outputs_.at(index);
  if ((events & EPOLLOUT) != 0) {
    flush_input();
  }
  if (!channel.fd.is_valid()) {
    return;
  }
  if (is_paused_) {
    // The other end is gone, which cannot be masked: remember what is unread, or spin.
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
      reactor_->remove(channel.fd.get());
    }
    return;
  }
  read_some(channel);
}

bool TerminalIo::read_some(Channel& channel) {
  std::string buffer(kReadSize, '\0');
  const ssize_t size = ::read(channel.fd.get(), buffer.data(), buffer.size());
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
    return errno == EINTR;
  }
  if (size <= 0) {  // also EIO: the last process left the terminal
    close_channel(channel);
    try_exit();
    return false;
  }
  const std::string_view bytes(buffer.data(), static_cast<std::size_t>(size));
  if (channel.is_packets) {
    emit(bytes[0] == 3 ? 2 : 1, bytes.substr(1));
  } else {
    emit(channel.stream, bytes);
  }
  return !is_closed_;
}

void TerminalIo::close_channel(Channel& channel) {
  if (channel.fd.is_valid()) {
    reactor_->remove(channel.fd.get());
    channel.fd.reset();
  }
}

void TerminalIo::emit(int stream, std::string_view bytes) {
  const std::lock_guard lock(callback_mutex_);
  if (!is_closed_ && callbacks_.on_output && !bytes.empty()) {
    callbacks_.on_output(stream, bytes);
  }
}

bool TerminalIo::write_input(std::string_view bytes) {
  bool is_full = false;
  {
    const std::lock_guard lock(input_mutex_);
    waiting_input_bytes_ += bytes.size();
    is_input_full_ = is_input_full_ || waiting_input_bytes_ >= TerminalSession::kMaxWaitingInput;
    is_full = is_input_full_;
  }
  reactor_->post([self = shared_from_this(), text = std::string(bytes)] {
    if (self->is_input_closing_) {
      self->take_input(text.size());  // nobody will read it
      return;
    }
    self->pending_input_ += text;
    self->flush_input();
  });
  return !is_full;
}

/// So much of the waiting input is with the process, or given up.
void TerminalIo::take_input(std::size_t bytes) {
  {
    const std::lock_guard lock(input_mutex_);
    waiting_input_bytes_ -= bytes;
    if (!is_input_full_ || waiting_input_bytes_ > TerminalSession::kMaxWaitingInput / 4) {
      return;
    }
    is_input_full_ = false;
  }
  const std::lock_guard lock(callback_mutex_);
  if (!is_closed_ && callbacks_.on_input_drained) {
    callbacks_.on_input_drained();
  }
}

void TerminalIo::close_input() {
  reactor_->post([self = shared_from_this()] {
    self->is_input_closing_ = true;
    self->flush_input();
  });
}

void TerminalIo::flush_input() {
  const bool is_pipe = input_.is_valid();
  const int fd = is_pipe ? input_.get() : outputs_[0].can_write ? outputs_[0].fd.get() : -1;
  if (fd < 0) {
    return;
  }
  std::string_view rest = pending_input_;
  while (!rest.empty()) {
    const std::size_t size = std::min(rest.size(), outputs_[0].is_packets ? kMaxPacket : rest.size());
    const ssize_t written =
        outputs_[0].is_packets ? ::send(fd, rest.data(), size, MSG_NOSIGNAL) : ::write(fd, rest.data(), size);
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0 && errno != EAGAIN) {
      rest = {};  // nobody reads any more
      break;
    }
    if (written < 0) {
      break;
    }
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  const std::size_t taken = pending_input_.size() - rest.size();
  pending_input_.erase(0, taken);
  take_input(taken);
  if (!is_pipe) {
    update_events();
    return;
  }
  const bool must_wait = !pending_input_.empty();
  if (must_wait && !is_input_watched_) {
    is_input_watched_ = true;
    (void)reactor_->add(fd, EPOLLOUT, [self = shared_from_this()](std::uint32_t) { self->flush_input(); });
  } else if (!must_wait && is_input_watched_) {
    is_input_watched_ = false;
    reactor_->remove(fd);
  }
  if (!must_wait && is_input_closing_) {
    input_.reset();
  }
}

void TerminalIo::resize(std::uint16_t rows, std::uint16_t columns) {
  reactor_->post([self = shared_from_this(), rows, columns] {
    if (self->outputs_[0].can_write && !self->outputs_[0].is_packets && self->outputs_[0].fd.is_valid()) {
      set_size(self->outputs_[0].fd.get(), rows, columns);
      if (self->process_) {
        (void)self->process_->signal(SIGWINCH);  // the runtime hands the new size on
      }
    }
  });
}

void TerminalIo::signal(int number) {
  reactor_->post([self = shared_from_this(), number] {
    if (self->process_) {
      (void)self->process_->signal(number);
    }
  });
}

void TerminalIo::pause_output(bool is_paused) {
  reactor_->post([self = shared_from_this(), is_paused] {
    self->is_paused_ = is_paused;
    self->update_events();
    self->try_exit();
  });
}

void TerminalIo::finish(int exit_code) {
  reactor_->post([self = shared_from_this(), exit_code] {
    self->exit_code_ = exit_code;
    self->try_exit();
  });
}

void TerminalIo::try_exit() {
  if (!exit_code_ || is_paused_ || is_closed_) {
    return;
  }
  for (Channel& channel : outputs_) {
    // A background process may hold the pipe open for ever: what is there now is all that belongs to the end.
    while (channel.fd.is_valid() && !is_paused_ && read_some(channel)) {
    }
  }
  if (is_paused_ || is_closed_) {
    return;
  }
  {
    const std::lock_guard lock(callback_mutex_);
    if (!is_closed_.exchange(true) && callbacks_.on_exit) {
      callbacks_.on_exit(*exit_code_);
    }
  }
  release_all();
}

void TerminalIo::release_all() {
  for (Channel& channel : outputs_) {
    close_channel(channel);
  }
  if (input_.is_valid() && is_input_watched_) {
    reactor_->remove(input_.get());
  }
  input_.reset();
  if (process_) {
    reactor_->remove(process_->pidfd());
    process_.reset();
  }
}

void TerminalIo::silence() {
  const std::lock_guard lock(callback_mutex_);
  is_closed_ = true;
}

void TerminalIo::close() {
  silence();
  reactor_->post([self = shared_from_this()] { self->release_all(); });
}

}  // namespace busbar::engine

#include "cli/terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <csignal>
#include <memory>
#include <mutex>

#include "base/text.h"
#include "cli/test_support.h"
#include "os/event_fd.h"
#include "os/process.h"

namespace busbar::cli {
namespace {

using testing::CommandLineRunner;
using testing::FakeServer;
using testing::RunResult;

std::string frame(api::TerminalFrame kind, std::string_view payload) {
  return std::string(1, static_cast<char>(kind)) + std::string(payload);
}

/// The server's side of a session: gives back in capitals what it gets, ends with exit code 5 at the end of input.
class EchoHandler final : public net::WebSocketHandler {
 public:
  void on_open(std::shared_ptr<net::WebSocket> socket) override {
    socket_ = std::move(socket);
    socket_->send_binary(frame(api::TerminalFrame::kStdout, "ready\n"));
  }
  void on_message(std::string_view message, net::WebSocketMessage /*kind*/) override {
    const auto kind = static_cast<api::TerminalFrame>(message[0]);
    if (kind == api::TerminalFrame::kStdin) {
      std::string text(message.substr(1));
      for (char& c : text) {
        c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      }
      socket_->send_binary(frame(api::TerminalFrame::kStdout, text));
    } else if (kind == api::TerminalFrame::kStdinEnd) {
      socket_->send_binary(frame(api::TerminalFrame::kStderr, "bye\n"));
      socket_->send_binary(frame(api::TerminalFrame::kExit, "5"));
      socket_->close();
    }
  }
  void on_close(int /*code*/, std::string_view /*reason*/) override {}

 private:
  std::shared_ptr<net::WebSocket> socket_;
};

/// Sends one frame and closes.
class OneFrameHandler final : public net::WebSocketHandler {
 public:
  explicit OneFrameHandler(std::string text) : text_(std::move(text)) {}
  void on_open(std::shared_ptr<net::WebSocket> socket) override {
    if (!text_.empty()) {
      socket->send_binary(text_);
    }
    socket->close();
  }
  void on_message(std::string_view /*message*/, net::WebSocketMessage /*kind*/) override {}
  void on_close(int /*code*/, std::string_view /*reason*/) override {}

 private:
  std::string text_;
};

struct Exec : ::testing::Test {
  FakeServer server;
  CommandLineRunner runner;
  os::Pipe input = *os::make_pipe();
  os::Pipe output = *os::make_pipe();

  Exec() {
    runner.environment["BUSBAR_SERVER"] = server.url();
    runner.input = input.read_end.get();
    runner.output = output.write_end.get();
  }
  template <class Handler, class... Arguments>
  void serve(Arguments... arguments) {
    server.on("GET /v1/jobs/17/exec", [=](const net::HttpRequest&, std::shared_ptr<net::HttpExchange> exchange) {
      exchange->accept_websocket(std::make_unique<Handler>(arguments...));
    });
  }
  /// All that the command wrote to its terminal.
  std::string written() {
    output.write_end.reset();
    std::string text;
    std::array<char, 4096> buffer{};
    ssize_t count = 0;
    while ((count = ::read(output.read_end.get(), buffer.data(), buffer.size())) > 0) {
      text.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return text;
  }
};

TEST_F(Exec, CarriesInputOutputAndTheExitCode) {
  serve<EchoHandler>();
  ASSERT_EQ(::write(input.write_end.get(), "hello\n", 6), 6);
  input.write_end.reset();
  const RunResult result = runner.run({"exec", "-i", "--task", "1", "17", "--", "cat", "a b"});
  EXPECT_EQ(result.exit_code, 5) << result.err;
  EXPECT_EQ(server.requests().back(), "GET /v1/jobs/17/exec?argv=cat&argv=a%20b&task=1");
  EXPECT_EQ(written(), "ready\nHELLO\nbye\n");
}

TEST_F(Exec, WithoutInteractiveTheInputIsNotRead) {
  serve<EchoHandler>();
  ASSERT_EQ(::write(input.write_end.get(), "hello\n", 6), 6);
  EXPECT_EQ(runner.run({"exec", "17", "cat"}).exit_code, 5);
  EXPECT_EQ(written(), "ready\nbye\n");
}

TEST_F(Exec, AnErrorFrameIsTheError) {
  serve<OneFrameHandler>(frame(api::TerminalFrame::kError,
                               api::to_json(api::ErrorBody{.error = {.code = ErrorCode::kNotFound,
                                                                     .message = "no program \"cat\" in the image"}})
                                   .dump()));
  const RunResult result = runner.run({"exec", "17", "--", "cat"});
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_EQ(result.err, "busbar: error: no program \"cat\" in the image\n");
}

TEST_F(Exec, AConnectionThatEndsTooEarlyIsAnError) {
  serve<OneFrameHandler>(std::string());
  const RunResult result = runner.run({"exec", "17", "--", "cat"});
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_NE(result.err.find("the connection ended"), std::string::npos) << result.err;
}

TEST_F(Exec, ARefusalOfTheServerIsTheError) {
  server.on_json("GET /v1/jobs/17/exec",
                 api::to_json(api::ErrorBody{
                     .error = {.code = ErrorCode::kFailedPrecondition, .message = "job 17 is queued, not running"}}),
                 412);
  const RunResult result = runner.run({"exec", "17", "--", "cat"});
  EXPECT_EQ(result.exit_code, 125);
  EXPECT_NE(result.err.find("job 17 is queued, not running"), std::string::npos) << result.err;
}

TEST_F(Exec, ATerminalNeedsATerminal) {
  EXPECT_NE(runner.run({"exec", "-it", "17", "--", "bash"}).err.find("needs a terminal"), std::string::npos);
}

/// A pseudo-terminal.
struct Pty {
  int master = -1;
  int terminal = -1;
  Pty() { EXPECT_EQ(::openpty(&master, &terminal, nullptr, nullptr, nullptr), 0); }
  ~Pty() {
    ::close(master);
    ::close(terminal);
  }
  bool is_canonical() const {
    termios mode{};
    ::tcgetattr(terminal, &mode);
    return (mode.c_lflag & ICANON) != 0;
  }
};

TEST(RawMode, ComesBackWhenItEnds) {
  const Pty pty;
  ASSERT_TRUE(pty.is_canonical());
  {
    const auto raw = RawMode::enter(pty.terminal);
    ASSERT_TRUE(raw);
    EXPECT_FALSE(pty.is_canonical());
  }
  EXPECT_TRUE(pty.is_canonical());
}

TEST(RawMode, ComesBackWhenASignalEndsTheProcess) {
  const Pty pty;
  const pid_t child = ::fork();
  if (child == 0) {
    const auto raw = RawMode::enter(pty.terminal);
    ::raise(SIGTERM);
    ::_exit(raw ? 1 : 2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  EXPECT_TRUE(pty.is_canonical());
}

TEST(RawMode, WhatIsNoTerminalIsAnError) {
  const auto pipe = os::make_pipe();
  ASSERT_TRUE(pipe);
  EXPECT_FALSE(RawMode::enter(pipe->read_end.get()));
}

TEST(WindowSize, IsTheTerminalsOrAFallback) {
  const Pty pty;
  winsize size{.ws_row = 33, .ws_col = 101, .ws_xpixel = 0, .ws_ypixel = 0};
  ASSERT_EQ(::ioctl(pty.terminal, TIOCSWINSZ, &size), 0);
  EXPECT_EQ(window_size(pty.terminal).rows, 33);
  EXPECT_EQ(window_size(pty.terminal).columns, 101);
  EXPECT_EQ(window_size(-1).columns, 80);
}

}  // namespace
}  // namespace busbar::cli

#include "control/terminal_bridge.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "api/types.h"
#include "engine/fake_engine.h"
#include "net/client.h"
#include "net/server.h"

namespace busbar::control {
namespace {

using api::TerminalFrame;
constexpr std::chrono::seconds kDeadline{30};

/// Every request becomes a terminal.
class TerminalServer final : public net::HttpHandler {
 public:
  explicit TerminalServer(OpenTerminal open) : open_(std::move(open)) {
    auto server = net::HttpServer::start({}, *this);
    EXPECT_TRUE(server.has_value()) << server.error().to_string();
    server_ = *std::move(server);
  }
  void handle(net::HttpRequest, std::shared_ptr<net::HttpExchange> exchange) override {
    exchange->accept_websocket(make_terminal_bridge(open_), terminal_socket_options());
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }

 private:
  OpenTerminal open_;
  std::unique_ptr<net::HttpServer> server_;
};

/// What a client has received; shared, because the socket owns its handler.
struct Received {
  std::mutex mutex;
  std::condition_variable changed;
  std::string output;
  std::size_t output_bytes = 0;
  std::string exit;
  std::string error;
  std::optional<int> close_code;

  template <class Condition>
  bool wait(Condition condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, kDeadline, [&] { return condition(*this); });
  }
};

class ClientHandler final : public net::WebSocketHandler {
 public:
  explicit ClientHandler(std::shared_ptr<Received> received) : received_(std::move(received)) {}
  void on_open(std::shared_ptr<net::WebSocket>) override {}
  void on_message(std::string_view message, net::WebSocketMessage) override {
    const std::lock_guard lock(received_->mutex);
    const std::string_view payload = message.substr(1);
    switch (static_cast<TerminalFrame>(message[0])) {
      case TerminalFrame::kStdout:
        received_->output_bytes += payload.size();
        received_->output += payload.substr(0, 1000);
        break;
      case TerminalFrame::kStderr:
        received_->output += "<err>" + std::string(payload);
        break;
      case TerminalFrame::kExit:
        received_->exit = payload;
        break;
      case TerminalFrame::kError:
        received_->error = payload;
        break;
      default:
        ADD_FAILURE() << "unexpected frame " << static_cast<int>(message[0]);
    }
    received_->changed.notify_all();
  }
  void on_close(int code, std::string_view) override {
    const std::lock_guard lock(received_->mutex);
    received_->close_code = code;
    received_->changed.notify_all();
  }

 private:
  std::shared_ptr<Received> received_;
};

class Client {
 public:
  explicit Client(const TerminalServer& server) {
    auto connected = net::WebSocketClient::connect({.client = {.base_url = server.url()}},
                                                   std::make_unique<ClientHandler>(received_));
    EXPECT_TRUE(connected.has_value()) << connected.error().to_string();
    client_ = *std::move(connected);
  }
  void send(TerminalFrame kind, std::string_view payload = {}) {
    EXPECT_TRUE(client_->socket().send_binary(static_cast<char>(kind) + std::string(payload)));
  }
  net::WebSocket& socket() { return client_->socket(); }
  void leave() { client_.reset(); }
  Received& received() { return *received_; }
  bool wait_closed(int code) {
    return received_->wait([code](const Received& r) { return r.close_code == code; });
  }

 private:
  std::shared_ptr<Received> received_ = std::make_shared<Received>();
  std::unique_ptr<net::WebSocketClient> client_;
};

/// The engine's side in the test's hand.
struct Script {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> calls;
  engine::TerminalSession::Callbacks callbacks;
  std::atomic<bool> is_paused = false;
  std::atomic<bool> is_input_full = false;
  std::atomic<bool> is_destroyed = false;

  void note(std::string call) {
    const std::lock_guard lock(mutex);
    calls.push_back(std::move(call));
    changed.notify_all();
  }
  void set_paused(bool paused) {
    const std::lock_guard lock(mutex);
    is_paused = paused;
    changed.notify_all();
  }
  bool wait_paused(bool wanted, std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, timeout, [&] { return is_paused == wanted; });
  }
  /// The next call on the session, pauses apart; "" if none comes.
  std::string next_call(std::chrono::milliseconds timeout = kDeadline) {
    std::unique_lock lock(mutex);
    if (!changed.wait_for(lock, timeout, [this] { return !calls.empty(); })) {
      return "";
    }
    std::string call = std::move(calls.front());
    calls.pop_front();
    return call;
  }
};

class ScriptedSession final : public engine::TerminalSession {
 public:
  explicit ScriptedSession(std::shared_ptr<Script> script) : script_(std::move(script)) {}
  ~ScriptedSession() override {
    script_->is_destroyed = true;
    script_->note("destroyed");
  }
  bool write_input(std::string_view bytes) override {
    script_->note("input " + std::string(bytes));
    return !script_->is_input_full;
  }
  void close_input() override { script_->note("close_input"); }
  void resize(std::uint16_t rows, std::uint16_t columns) override {
    script_->note("resize " + std::to_string(rows) + " " + std::to_string(columns));
  }
  void signal(int number) override { script_->note("signal " + std::to_string(number)); }
  void pause_output(bool is_paused) override { script_->set_paused(is_paused); }

 private:
  std::shared_ptr<Script> script_;
};

class TerminalBridgeTest : public ::testing::Test {
 protected:
  std::shared_ptr<Script> script_ = std::make_shared<Script>();
  TerminalServer server_{
      [this](engine::TerminalSession::Callbacks callbacks) -> Result<std::unique_ptr<engine::TerminalSession>> {
        script_->callbacks = std::move(callbacks);
        script_->note("open");
        return std::make_unique<ScriptedSession>(script_);
      }};
};

TEST_F(TerminalBridgeTest, PassesInputSizeAndSignalsOn) {
  Client client(server_);
  client.send(TerminalFrame::kStdin, "ls\n");
  client.send(TerminalFrame::kResize, "50 132");
  client.send(TerminalFrame::kSignal, "15");
  client.send(TerminalFrame::kStdinEnd);
  for (const char* call : {"open", "input ls\n", "resize 50 132", "signal 15", "close_input"}) {
    EXPECT_EQ(script_->next_call(), call);
  }
}

TEST_F(TerminalBridgeTest, SendsOutputThenTheExitCodeAndCloses) {
  Client client(server_);
  ASSERT_EQ(script_->next_call(), "open");
  script_->callbacks.on_output(1, "out");
  script_->callbacks.on_output(2, "bad");
  script_->callbacks.on_exit(3);
  EXPECT_TRUE(client.wait_closed(net::kWebSocketNormal));
  EXPECT_EQ(client.received().output, "out<err>bad");
  EXPECT_EQ(client.received().exit, "3");
  EXPECT_EQ(script_->next_call(), "destroyed");
}

TEST_F(TerminalBridgeTest, EndsTheSessionWhenTheClientLeaves) {
  Client client(server_);
  ASSERT_EQ(script_->next_call(), "open");
  client.leave();
  EXPECT_EQ(script_->next_call(), "destroyed");
  // An engine's thread that has not noticed yet must do no harm.
  script_->callbacks.on_output(1, "late");
  script_->callbacks.on_exit(0);
}

/// Writes as an engine does, until it has been told to pause for good. Gives the bytes written.
std::size_t produce_until_paused(Script& script) {
  const std::string block(32 << 10, 'x');
  constexpr std::size_t kLimit = 256 << 20;
  // Pauses end by themselves as long as the kernel's buffers take more; one that lasts so long will not.
  constexpr std::chrono::milliseconds kForGood{200};
  std::size_t sent = 0;
  while (sent < kLimit && (!script.is_paused || script.wait_paused(false, kForGood))) {
    script.callbacks.on_output(1, block);
    sent += block.size();
  }
  EXPECT_LT(sent, kLimit) << "nobody ever told the engine to pause";
  // What the engine had read already when it was paused.
  script.callbacks.on_output(1, block);
  return sent + block.size();
}

TEST_F(TerminalBridgeTest, DoesNotReadOutputThatTheClientDoesNotTake) {
  Client client(server_);
  ASSERT_EQ(script_->next_call(), "open");
  client.send(TerminalFrame::kStdinEnd);
  ASSERT_EQ(script_->next_call(), "close_input") << "so the bridge has the session in its hands";
  client.socket().pause_reading();
  std::size_t sent = produce_until_paused(*script_);
  client.socket().resume_reading();
  EXPECT_TRUE(client.received().wait([&sent](const Received& r) { return r.output_bytes == sent; }));
  EXPECT_TRUE(script_->wait_paused(false, kDeadline));

  // And once more: pausing is not a matter of the first time.
  client.socket().pause_reading();
  sent += produce_until_paused(*script_);
  script_->callbacks.on_exit(0);
  client.socket().resume_reading();
  EXPECT_TRUE(client.wait_closed(net::kWebSocketNormal));
  EXPECT_EQ(client.received().output_bytes, sent);
  EXPECT_EQ(client.received().exit, "0");
}

TEST_F(TerminalBridgeTest, DoesNotReadInputThatTheTaskDoesNotTake) {
  Client client(server_);
  ASSERT_EQ(script_->next_call(), "open");
  constexpr int kMessages = 50;
  constexpr int kUnderWay = 2;  // what was being read when the pause was asked for
  constexpr std::chrono::milliseconds kSilence{200};
  int taken = 0;
  for (int round = 0; round < 2; ++round) {
    script_->is_input_full = true;
    for (int i = 0; i < kMessages; ++i) {
      client.send(TerminalFrame::kStdin, std::to_string(round * kMessages + i));
    }
    const int before = taken;
    for (std::string call = script_->next_call(); !call.empty(); call = script_->next_call(kSilence)) {
      EXPECT_EQ(call, "input " + std::to_string(taken++));
    }
    EXPECT_LE(taken - before, 1 + kUnderWay);
    script_->is_input_full = false;
    script_->callbacks.on_input_drained();
    while (taken < (round + 1) * kMessages) {
      ASSERT_EQ(script_->next_call(), "input " + std::to_string(taken++));
    }
  }
}

TEST_F(TerminalBridgeTest, RefusesFramesThatMakeNoSense) {
  const std::string kinds[] = {"",
                               "\x07",
                               "\x0b"
                               "output",
                               "\x0d",
                               std::string(1, '\x02') + "50",
                               std::string(1, '\x02') + "0 80",
                               std::string(1, '\x03') + "TERM",
                               std::string(1, '\x03') + "65"};
  for (const std::string& message : kinds) {
    SCOPED_TRACE(message);
    Client client(server_);
    ASSERT_EQ(script_->next_call(), "open");
    client.socket().send_binary(message);
    EXPECT_TRUE(client.wait_closed(net::kWebSocketProtocolError));
    EXPECT_NE(client.received().error.find("invalid_argument"), std::string::npos) << client.received().error;
    EXPECT_EQ(script_->next_call(), "destroyed");
  }
  Client text(server_);
  ASSERT_EQ(script_->next_call(), "open");
  text.socket().send_text("ls");
  EXPECT_TRUE(text.wait_closed(net::kWebSocketProtocolError));
}

TEST(TerminalBridge, SendsTheErrorOfATerminalThatCannotBeOpened) {
  const TerminalServer server(
      [](engine::TerminalSession::Callbacks) -> Result<std::unique_ptr<engine::TerminalSession>> {
        return make_error(ErrorCode::kFailedPrecondition, "task 17.1.0 is not running");
      });
  Client client(server);
  EXPECT_TRUE(client.wait_closed(net::kWebSocketNormal));
  const api::ErrorBody body = api::error_body_from_json(*parse_json(client.received().error), 412);
  EXPECT_EQ(body.error.code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(body.error.message, "task 17.1.0 is not running");
}

TEST(TerminalBridge, CarriesAnExecOfAnEngine) {
  const auto machine = std::make_shared<engine::FakeMachine>();
  const FakeClock clock;
  engine::FakeEngine engine(machine, clock);
  std::mutex mutex;
  std::condition_variable changed;
  bool is_running = false;
  ASSERT_TRUE(engine
                  .adopt({},
                         [&](const engine::Fact& fact) {
                           const std::lock_guard lock(mutex);
                           is_running = is_running || std::holds_alternative<engine::GangReleased>(fact.body);
                           changed.notify_all();
                         })
                  .has_value());
  const model::AttemptId attempt{.job = {1}, .number = 1};
  engine::AttemptLaunch launch{.id = attempt, .job_name = "j"};
  launch.tasks.push_back({.rank = 0, .argv = {"sleep", "1000"}});
  ASSERT_TRUE(engine.start(launch).has_value());
  ASSERT_TRUE(engine.release(attempt).has_value());
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, kDeadline, [&] { return is_running; }));
  }
  const TerminalServer server([&](engine::TerminalSession::Callbacks callbacks) {
    return engine.exec({.task = {attempt, 0}, .argv = {"/bin/sh", "-c", "echo hello; sleep 5"}}, std::move(callbacks));
  });
  Client client(server);
  EXPECT_TRUE(client.received().wait([](const Received& r) { return r.output == "hello\n"; }));
  client.send(TerminalFrame::kStdin, "typed");
  EXPECT_TRUE(client.received().wait([](const Received& r) { return r.output == "hello\ntyped"; }));
  client.send(TerminalFrame::kSignal, "15");
  EXPECT_TRUE(client.wait_closed(net::kWebSocketNormal));
  EXPECT_EQ(client.received().exit, "143");
}

}  // namespace
}  // namespace busbar::control

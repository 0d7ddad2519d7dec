#include <fmt/format.h>

#include <cctype>
#include <filesystem>
#include <thread>
#include <utility>

#include "base/text.h"
#include "control/rest.h"
#include "model/job_json.h"
#include "os/files.h"
#include "sched/journal.h"

namespace busbar::control {
namespace {

constexpr std::size_t kMaxBackupBytes = std::size_t{8} << 30;

Result<void> check_secret_name(const std::string& name) {
  const bool is_valid = !name.empty() && name.size() <= 128 && name.front() != '.' &&
                        std::all_of(name.begin(), name.end(), [](unsigned char c) {
                          return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
                        });
  if (is_valid) return {};
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("secret name \"{}\" may have letters, digits, '_', '-' and '.', at most 128", name));
}

}  // namespace

void Rest::list_nodes(const CallPtr& call) {
  d_.controller.post([call](Ledger&) -> Controller::Reply {
    return [call](const Ledger& ledger) {
      Json nodes = Json::array();
      for (const api::NodeStatus& node : ledger.node_statuses()) nodes.push(api::to_json(node));
      call->answer(200, Json::object({{"nodes", std::move(nodes)}}));
    };
  });
}

void Rest::list_cards(const CallPtr& call) {
  d_.controller.post([call](Ledger&) -> Controller::Reply {
    return [call](const Ledger& ledger) {
      Json cards = Json::array();
      for (const api::NodeStatus& node : ledger.node_statuses()) {
        for (const api::CardStatus& card : node.cards) cards.push(api::to_json(card));
      }
      call->answer(200, Json::object({{"cards", std::move(cards)}}));
    };
  });
}

void Rest::set_node_state(const CallPtr& call, model::NodeState state) {
  if (refuse_if_degraded(call)) return;
  command(call, 200, [call, state](Ledger& ledger) -> Result<Json> {
    const std::string name = call->request.path_parameter("node");
    TRY(ledger.set_node_state(name, state, call->user));
    for (const api::NodeStatus& node : ledger.node_statuses()) {
      if (node.name == name) return api::to_json(node);
    }
    return make_error(ErrorCode::kNotFound, fmt::format("no node \"{}\"", name));
  });
}

void Rest::list_reservations(const CallPtr& call) {
  d_.controller.post([call](Ledger&) -> Controller::Reply {
    return [call](const Ledger& ledger) { call->answer(200, api::to_json(ledger.reservations())); };
  });
}

void Rest::reserve(const CallPtr& call) {
  if (refuse_if_degraded(call)) return;
  const auto json = parse_json(call->request.body.empty() ? "{}" : call->request.body);
  if (!json) return call->refuse(json.error());
  const auto request = api::from_json_strict<api::ReservationRequest>(*json);
  if (!request) return call->refuse(request.error());
  command(call, 200, [call, request = *request](Ledger& ledger) -> Result<Json> {
    TRY_ASSIGN(const api::ReservationStatus made, ledger.reserve(request, call->user));
    return api::to_json(made);
  });
}

void Rest::cancel_reservation(const CallPtr& call) {
  if (refuse_if_degraded(call)) return;
  command(call, 200, [call](Ledger& ledger) -> Result<Json> {
    const std::string name = call->request.path_parameter("reservation");
    TRY(ledger.cancel_reservation(name, call->user));
    return Json::object({{"name", name}});
  });
}

void Rest::list_secrets(const CallPtr& call) {
  d_.controller.post([call](Ledger&) -> Controller::Reply {
    return [call](const Ledger& ledger) {
      Json secrets = Json::array();
      for (const auto& [name, row] : ledger.secrets()) {
        secrets.push(Json::object({{"name", name}, {"changed_ms", row.changed_ms}}));
      }
      call->answer(200, Json::object({{"secrets", std::move(secrets)}}));
    };
  });
}

void Rest::put_secret(const CallPtr& call) {
  if (refuse_if_degraded(call)) return;
  const std::string name = call->request.path_parameter("secret");
  if (const auto valid = check_secret_name(name); !valid) return call->refuse(valid.error());
  auto sealed = d_.secrets.seal(name, call->request.body);
  wipe(call->request.body);
  if (!sealed) return call->refuse(sealed.error());
  command(call, 200, [this, name, sealed = *sealed](Ledger& ledger) -> Result<Json> {
    ledger.put_secret({.name = name, .sealed = sealed, .changed_ms = d_.clock.now_ms()});
    return Json::object({{"name", name}});
  });
}

void Rest::delete_secret(const CallPtr& call) {
  if (refuse_if_degraded(call)) return;
  command(call, 200, [call](Ledger& ledger) -> Result<Json> {
    const std::string name = call->request.path_parameter("secret");
    TRY(ledger.remove_secret(name));
    return Json::object({{"name", name}});
  });
}

void Rest::run_in_background(const CallPtr& call, std::function<void()> work) {
  const auto taken = d_.background.submit(std::move(work));
  if (!taken) call->refuse(taken.error());
}

void Rest::export_journal(const CallPtr& call) {
  // The whole journal from its first record, so that a replay starts from an empty core and proves every step.
  run_in_background(call, [this, call] {
    auto stream = call->exchange->start_stream(200, {{"Content-Type", "application/octet-stream"}},
                                               {.max_pending_bytes = std::size_t{256} << 20});
    stream->write(sched::encode_journal_header({.build_id = d_.server.build_id}));
    const auto done = d_.store.read_frames(0, [&](std::uint64_t, std::string_view frame) -> Result<void> {
      if (stream->write(frame)) return {};
      return make_error(ErrorCode::kCancelled, "the client is gone");
    });
    if (done) stream->end();
  });
}

void Rest::backup(const CallPtr& call) {
  run_in_background(call, [this, call] {
    const std::string path = fmt::format("{}/backup-{}", d_.scratch_dir, call->request_id);
    const auto done = d_.store.backup(path);
    auto bytes = done ? os::read_file(path, kMaxBackupBytes) : Result<std::string>(tl::unexpected(done.error()));
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    if (!bytes) return call->refuse(bytes.error());
    call->exchange->respond(net::text_response(200, "application/octet-stream", *std::move(bytes)));
  });
}

}  // namespace busbar::control

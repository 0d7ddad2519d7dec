#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "chip/catalogue.h"
#include "control/config.h"
#include "engine/engine.h"
#include "store/store.h"

namespace busbar::control {

/// The control plane in one object: opens what it needs, serves until it is told to stop (design §3, `busbar up` and
/// `busbar server`). The store and the engine are handed in, so that main alone knows which ones there are.
class Server {
 public:
  struct Dependencies {
    std::unique_ptr<store::Store> store;
    std::unique_ptr<engine::Engine> engine;
    const Clock& clock;
    Random& random;
    std::string version = {};
    std::string build_id = {};
    chip::Catalogue catalogue = {};
  };

  /// Recovers, re-adopts what runs, listens. The state directory must exist and be locked by the caller
  /// (server_file.h).
  static Result<std::unique_ptr<Server>> start(const ServerConfig& config, Dependencies dependencies);
  virtual ~Server() = default;

  virtual std::string url() const = 0;
  /// Lets running requests finish, commits, stops the threads. Containers go on. Idempotent.
  virtual void stop() = 0;
};

}  // namespace busbar::control

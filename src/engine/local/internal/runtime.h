#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace busbar::engine {

/// A container runtime with runc's command line. Stateless; calls block for some milliseconds.
class Runtime {
 public:
  Runtime(std::string program, std::string root) : program_(std::move(program)), root_(std::move(root)) {}

  const std::string& program() const { return program_; }
  const std::string& root() const { return root_; }

  /// `start` for all of them at the same time; one result each, in order.
  std::vector<Result<void>> start(const std::vector<std::string>& containers) const;
  /// `delete --force` for all of them at the same time: kills what runs. Fine for containers that do not exist.
  void remove(const std::vector<std::string>& containers) const;
  /// "created", "running", "stopped" ...; kNotFound.
  Result<std::string> status(const std::string& container) const;
  /// Containers under our root.
  std::vector<std::string> list() const;

 private:
  std::vector<Result<void>> run_all(const std::vector<std::vector<std::string>>& commands) const;

  std::string program_;
  std::string root_;
};

/// Kills what works on this container: monitors and runtime calls left over from a server that died, wherever they were
/// in their work. `programs`: the paths of conmon and the runtime. Returns when none is left.
void kill_workers(const std::string& container, const std::vector<std::string>& programs);

struct ProbeRequest {
  std::string wanted = {};  ///< As LocalOptions::runtime.
  std::string helper = {};  ///< A static program, run in the container.
  std::string scratch_dir = {};
  std::string cgroup_path = {};
  std::string cache_file = {};  ///< Remembers the answer for the same programs on the same kernel.
  Json config_template = {};    ///< A complete config.json but for root and args.
};

/// Runs a trivial container with each candidate and gives the first program that can. The error names each one's own
/// reason and the packages to install.
Result<std::string> probe_runtime(const ProbeRequest& request);

}  // namespace busbar::engine

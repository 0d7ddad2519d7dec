#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/job.h"

/// The shell scripts that a task's files below /run/busbar hold. POSIX sh: they run in any image that has /bin/sh; the
/// user's text runs under bash where the image has it, else under sh.
namespace busbar::launch::internal {

/// Chooses the shell and becomes task.sh. The engine's init is process 1 above it: it hands signals on to the whole
/// process group of the task and ends with its exit code.
std::string launch_script();
/// setup, then the run text, in one shell.
std::string task_script(const model::JobSpec& spec);

struct DirectProcesses {
  std::uint32_t first_rank = 0;
  std::uint32_t count = 1;
  bool has_slurm_variables = false;
};
/// setup once, then `count` processes of the run text with RANK and LOCAL_RANK; the first failure ends the others.
std::string direct_script(const model::JobSpec& spec, const DirectProcesses& processes);
/// One process of a direct task.
std::string process_script(const model::JobSpec& spec);

/// mpirun's leader: setup, wait until the other hosts have done theirs, run.
std::string mpi_leader_script(const model::JobSpec& spec, const std::vector<std::string>& other_hosts);
/// mpirun's other tasks: setup, then wait for work that comes through the rsh agent.
std::string mpi_host_script(const model::JobSpec& spec);

/// A shell to work in: interactive on a terminal, else waits for `busbar exec`.
std::string dev_script(const model::JobSpec& spec);

}  // namespace busbar::launch::internal

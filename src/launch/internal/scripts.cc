#include "launch/internal/scripts.h"

#include <fmt/format.h>

#include "base/text.h"

namespace busbar::launch::internal {
namespace {

/// The engine's init gives a signal to every process of the task's group at once. A shell that died of one would take
/// its program down before that could save, so the shells outlive the program and end after it.
constexpr std::string_view kOutlive =
    "trap 'exit 143' TERM\n"
    "trap 'exit 130' INT\n"
    "trap 'exit 129' HUP\n"
    "trap : USR1 USR2\n";

/// For tasks that only offer themselves: told to end, they did what they are for. A sleep that began just after the
/// signal would hold the container open.
constexpr std::string_view kEndWell =
    "trap 'kill \"$!\" 2>/dev/null || :; exit 0' TERM INT HUP\n"
    "trap : USR1 USR2\n";

constexpr std::string_view kWaitForever =
    "while :; do\n"
    "  sleep 86400 &\n"
    "  wait \"$!\"\n"
    "done\n";

/// In the same shell as `run`, so that it may export variables and change folders.
std::string setup_part(const model::JobSpec& spec) {
  return spec.setup.empty() ? "" : "set -e\n. /run/busbar/setup\nset +e\n";
}

/// A script with its own first line is executed, so that its interpreter counts; other text is shell text.
std::string run_part(const model::JobSpec& spec) {
  return spec.run.starts_with("#!") ? "/run/busbar/run\n" : ". /run/busbar/run\n";
}

}  // namespace

std::string launch_script() {
  return R"(BUSBAR_SHELL=/bin/sh
if command -v bash >/dev/null 2>&1; then BUSBAR_SHELL=bash; fi
export BUSBAR_SHELL
exec "$BUSBAR_SHELL" /run/busbar/task.sh
)";
}

std::string task_script(const model::JobSpec& spec) {
  return std::string(kOutlive) + setup_part(spec) + run_part(spec);
}

std::string process_script(const model::JobSpec& spec) {
  return std::string(kOutlive) + run_part(spec);
}

std::string direct_script(const model::JobSpec& spec, const DirectProcesses& processes) {
  // Ends are told through a pipe, because POSIX sh cannot wait for whichever child ends first.
  constexpr std::string_view kSupervise = R"(fifo=$(mktemp -u "${{TMPDIR:-/tmp}}/busbar-direct-XXXXXX")
mkfifo "$fifo" || exit 1
exec 3<&0 4<>"$fifo"
rm -f "$fifo"
# A new subshell that dies of a signal before its own trap is set would never tell its end.
trap '' TERM
local_rank=0
while [ "$local_rank" -lt {count} ]; do
  (
    stop=
    trap 'stop=1' TERM
    trap : INT HUP USR1 USR2
    LOCAL_RANK=$local_rank
    RANK=$(({first} + local_rank))
    export LOCAL_RANK RANK
{slurm}    code=143
    if [ -z "$stop" ]; then
      "$BUSBAR_SHELL" /run/busbar/process.sh <&3 3<&- 4>&-
      code=$?
    fi
    echo "$code" >&4
  ) &
  local_rank=$((local_rank + 1))
done
trap 'exit 143' TERM
exec 3<&-
left={count}
first=0
while [ "$left" -gt 0 ]; do
  # A signal may interrupt the read; the line comes with the next one.
  read -r code <&4 || continue
  if [ "$code" = late ]; then break; fi
  left=$((left - 1))
  if [ "$code" -ne 0 ] && [ "$first" -eq 0 ]; then
    first=$code
    # One process failed: the others would wait for it without end. What outlives this shell dies with the container.
    trap '' TERM
    if [ "$left" -gt 0 ]; then
      kill -s TERM 0
      # Once more for a process that was just starting.
      (sleep 1; kill -s TERM 0; sleep 4; echo late >&4) >/dev/null 2>&1 &
    fi
  fi
done
exit "$first"
)";
  const std::string slurm = processes.has_slurm_variables ? "    SLURM_PROCID=$RANK\n    SLURM_LOCALID=$LOCAL_RANK\n"
                                                            "    export SLURM_PROCID SLURM_LOCALID\n"
                                                          : "";
  return std::string(kOutlive) + setup_part(spec) +
         fmt::format(kSupervise, fmt::arg("count", processes.count), fmt::arg("first", processes.first_rank),
                     fmt::arg("slurm", slurm));
}

std::string mpi_leader_script(const model::JobSpec& spec, const std::vector<std::string>& other_hosts) {
  std::string wait_for_others;
  if (!spec.setup.empty()) {
    for (const std::string& host : other_hosts) {
      wait_for_others += fmt::format(
          "/run/busbar/rsh {0} 'while [ ! -e /run/busbar/setup.done ]; do sleep 0.05; done; "
          "exit \"$(cat /run/busbar/setup.done)\"' || {{ echo 'busbar: setup failed on {0}' >&2; exit 1; }}\n",
          host);
    }
  }
  return std::string(kOutlive) + setup_part(spec) + wait_for_others + run_part(spec);
}

std::string mpi_host_script(const model::JobSpec& spec) {
  std::string setup;
  if (!spec.setup.empty()) {
    // The leader reads the outcome, through the rsh agent, before it starts mpirun.
    setup =
        "(set -e; . /run/busbar/setup)\n"
        "echo \"$?\" >/run/busbar/setup.new\n"
        "mv /run/busbar/setup.new /run/busbar/setup.done\n";
  }
  return std::string(kEndWell) + setup + std::string(kWaitForever);
}

std::string dev_script(const model::JobSpec& spec) {
  return std::string(kEndWell) + setup_part(spec) + "if [ -t 0 ]; then exec \"$BUSBAR_SHELL\" -i; fi\n" +
         std::string(kWaitForever);
}

}  // namespace busbar::launch::internal

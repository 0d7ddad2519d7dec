#pragma once

#include "base/json.h"

namespace busbar::engine {

/// `linux.seccomp` of every container: what is not named fails with EPERM. The list follows the default profile of moby
/// and containers-common (both Apache-2.0) without what needs a capability that tasks do not have: no mount, bpf,
/// kexec, keyrings, modules, namespaces, clocks. ptrace and process_vm_readv stay, for debuggers and for OpenMPI's
/// shared-memory transport: the PID namespace keeps them inside the task.
Json seccomp_profile();

}  // namespace busbar::engine

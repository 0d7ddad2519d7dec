#include "engine/local/internal/seccomp_profile.h"

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace busbar::engine {
namespace {

constexpr std::string_view kAllowed =
    "accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown chown32 "
    "clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep "
    "clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 "
    "epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit "
    "exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 "
    "fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat "
    "fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait "
    "futex_waitv futex_wake futimesat get_mempolicy get_robust_list get_thread_area getcpu getcwd getdents getdents64 "
    "getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp "
    "getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid "
    "getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init inotify_init1 "
    "inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl "
    "ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 "
    "lgetxattr link linkat listen listxattr llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise "
    "map_shadow_stack mbind membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 "
    "mlockall mmap mmap2 modify_ldt move_pages mprotect mq_getsetattr mq_notify mq_open mq_timedreceive "
    "mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget msgrcv msgsnd msync "
    "munlock "
    "munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_getfd "
    "pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 "
    "preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace "
    "pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg "
    "remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending "
    "rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 "
    "rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
    "sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 "
    "send "
    "sendfile sendfile64 sendmmsg sendmsg sendto set_mempolicy set_robust_list set_thread_area set_tid_address "
    "setfsgid "
    "setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid "
    "setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid "
    "setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn "
    "socketcall socketpair splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs "
    "sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime "
    "timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill "
    "truncate truncate64 ugetrlimit umask uname unlink unlinkat utime utimensat utimensat_time64 utimes vfork vmsplice "
    "wait4 waitid waitpid write writev";

/// Flags of clone(2) that make namespaces: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
constexpr std::int64_t kNamespaceFlags =
    0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000;
/// AF_VSOCK reaches the hypervisor, past every network rule.
constexpr std::int64_t kAfVsock = 40;
constexpr std::int64_t kEnosys = 38;
constexpr std::int64_t kEperm = 1;

Json rule(std::string_view names, const char* action, Json::Array args = {}) {
  Json list = Json::array();
  for (const std::string_view name : split(names, ' ')) {
    list.push(name);
  }
  Json result = Json::object({{"names", std::move(list)}, {"action", action}});
  if (!args.empty()) {
    result.set("args", Json::array(std::move(args)));
  }
  return result;
}

Json argument(int index, std::int64_t value, const char* op, std::int64_t value_two = 0) {
  return Json::object({{"index", index}, {"value", value}, {"valueTwo", value_two}, {"op", op}});
}

}  // namespace

Json seccomp_profile() {
  Json rules = Json::array();
  rules.push(rule(kAllowed, "SCMP_ACT_ALLOW"));
  rules.push(rule("clone", "SCMP_ACT_ALLOW", {argument(0, kNamespaceFlags, "SCMP_CMP_MASKED_EQ")}));
  // Its flags lie in memory, where a filter cannot look: glibc falls back to clone on ENOSYS.
  Json clone3 = rule("clone3", "SCMP_ACT_ERRNO");
  clone3.set("errnoRet", kEnosys);
  rules.push(std::move(clone3));
  rules.push(rule("socket", "SCMP_ACT_ALLOW", {argument(0, kAfVsock, "SCMP_CMP_NE")}));
  // PER_LINUX, PER_LINUX32 with and without UNAME26, ADDR_NO_RANDOMIZE for gdb, and the query.
  for (const std::int64_t persona : {0x0LL, 0x8LL, 0x20000LL, 0x20008LL, 0x40000LL, 0xffffffffLL}) {
    rules.push(rule("personality", "SCMP_ACT_ALLOW", {argument(0, persona, "SCMP_CMP_EQ")}));
  }
  Json architectures = Json::array();
#if defined(__x86_64__)
  // Without x32, which nobody's programs use: building its part of the filter would take 15 ms of each start.
  for (const char* name : {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}) {
    architectures.push(name);
  }
#elif defined(__aarch64__)
  for (const char* name : {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"}) {
    architectures.push(name);
  }
#endif
  return Json::object({{"defaultAction", "SCMP_ACT_ERRNO"},
                       {"defaultErrnoRet", kEperm},
                       {"architectures", std::move(architectures)},
                       {"syscalls", std::move(rules)}});
}

}  // namespace busbar::engine

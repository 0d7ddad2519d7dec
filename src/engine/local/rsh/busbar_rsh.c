/* The one program that busbar puts into every container: statically linked, so that it runs in any image.
 *
 *   rsh [options] HOST COMMAND...        as /run/busbar/rsh: runs COMMAND in the task HOST of the same gang, for
 *                                        mpirun's plm_rsh_agent.
 *   init [--gang NAME] [--secret ENV=NAME]... -- PROGRAM ARGS...
 *                                        as process 1 of the container: passes signals on to the program's process
 *                                        group, reaps orphans, and ends as the program ended. With --gang it also runs
 *                                        what `rsh` asks for at the socket /run/busbar/gang/NAME.
 *   run [--secret ENV=NAME]... -- PROGRAM ARGS...
 *                                        gives PROGRAM its secrets and becomes it.
 *   probe                                exits with 0: shows that a container can be made here.
 *
 * The gang's sockets lie in a directory that only the gang's own containers mount, so nobody else can be reached and no
 * server is in the way: MPI jobs go on while busbar restarts.
 *
 * Secrets reach the environment from /run/secrets here, inside the container, so that no configuration file and no
 * command line outside ever holds them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GANG_DIR "/run/busbar/gang/"
#define MAX_GUESTS 256
#define CONNECT_TRIES 1500 /* of 20 ms */
#define EXIT_MARK_PATH "/run/busbar/.exit"
#define SECRET_MAX (1 << 20)
#define COMMAND_MAX (1 << 20)

static void complain(const char* what, const char* detail) {
  fprintf(stderr, "busbar: %s: %s\n", what, detail);
}

static int write_all(int fd, const void* bytes, size_t size) {
  const char* at = bytes;
  while (size > 0) {
    const ssize_t n = write(fd, at, size);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return -1;
    }
    at += n;
    size -= (size_t)n;
  }
  return 0;
}

static int read_all(int fd, void* bytes, size_t size) {
  char* at = bytes;
  while (size > 0) {
    const ssize_t n = read(fd, at, size);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return -1;
    }
    at += n;
    size -= (size_t)n;
  }
  return 0;
}

/* "ENV=NAME": sets ENV to the content of /run/secrets/NAME. */
static int set_secret(char* pair) {
  static char value[SECRET_MAX + 1];
  char path[512];
  char* equals = strchr(pair, '=');
  if (equals == NULL) {
    complain(pair, "expected ENV=NAME");
    return -1;
  }
  *equals = '\0';
  snprintf(path, sizeof path, "/run/secrets/%s", equals + 1);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    complain(path, strerror(errno));
    return -1;
  }
  size_t size = 0;
  while (size < SECRET_MAX) {
    const ssize_t n = read(fd, value + size, SECRET_MAX - size);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      break;
    }
    size += (size_t)n;
  }
  close(fd);
  value[size] = '\0';
  const int result = setenv(pair, value, 1);
  memset(value, 0, size);
  return result;
}

/* Reads the options; returns the program's argv, or NULL after a complaint. */
static char** read_options(char** argv, const char** gang_name) {
  for (; *argv != NULL; ++argv) {
    if (strcmp(*argv, "--") == 0) {
      ++argv;
      break;
    }
    if (strcmp(*argv, "--gang") == 0 && argv[1] != NULL) {
      *gang_name = *++argv;
      continue;
    }
    if (strcmp(*argv, "--secret") != 0 || argv[1] == NULL) {
      complain(*argv, "unknown option");
      return NULL;
    }
    if (set_secret(*++argv) != 0) {
      return NULL;
    }
  }
  if (*argv == NULL) {
    complain("init", "no program given");
    return NULL;
  }
  return argv;
}

/* Exit codes as shells give them. */
static int become(char** argv) {
  execvp(argv[0], argv);
  const int error = errno;
  complain(argv[0], strerror(error));
  return error == ENOENT ? 127 : 126;
}

static int exit_code_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

/* Tells the engine that the program ended by itself: an init that was killed from outside leaves no mark. The file is
 * there already, with room for it: the disk may be full by now. */
static void leave_mark(int code) {
  char text[16];
  const int size = snprintf(text, sizeof text, "%d\n", code);
  const int fd = open(EXIT_MARK_PATH, O_WRONLY | O_CLOEXEC);
  if (fd >= 0) {
    (void)!write(fd, text, (size_t)size);
    close(fd);
  }
}

/* A command that another task of the gang asked for. */
struct guest {
  int connection;
  pid_t pid;
};

static struct guest guests[MAX_GUESTS];
static int guest_count = 0;
static sigset_t signals_before;

static pid_t start_program(char** argv, const int* fds, const char* cwd) {
  const pid_t child = fork();
  if (child != 0) {
    if (child > 0) {
      setpgid(child, child); /* also here: a signal must not overtake the child's own call */
    }
    return child;
  }
  setpgid(0, 0);
  for (int i = 0; fds != NULL && i < 3; ++i) {
    dup2(fds[i], i);
  }
  if (fds == NULL && isatty(STDIN_FILENO)) {
    tcsetpgrp(STDIN_FILENO, getpid()); /* SIGTTOU is still blocked */
  }
  if (cwd != NULL && chdir(cwd) != 0 && chdir("/") != 0) {
    _exit(126);
  }
  sigprocmask(SIG_SETMASK, &signals_before, NULL);
  _exit(become(argv));
}

static int open_gang_socket(const char* name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (snprintf(address.sun_path, sizeof address.sun_path, "%s%s", GANG_DIR, name) >= (int)sizeof address.sun_path) {
    complain(name, "too long for a socket's name");
    return -1;
  }
  /* In place only when it answers: a caller that finds no socket yet under a known name waits (see call_task). */
  char* const final_path = strdup(address.sun_path);
  const size_t length = strlen(address.sun_path);
  snprintf(address.sun_path + length, sizeof address.sun_path - length, "~");
  unlink(address.sun_path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind(fd, (struct sockaddr*)&address, sizeof address) != 0 || listen(fd, 64) != 0 ||
      rename(address.sun_path, final_path) != 0) {
    complain(final_path, strerror(errno));
    return -1;
  }
  free(final_path);
  return fd;
}

/* So that callers who come later learn at once that the task is over. */
static void close_gang_socket(const char* name) {
  char path[PATH_MAX];
  if (name != NULL && snprintf(path, sizeof path, "%s%s", GANG_DIR, name) < (int)sizeof path) {
    unlink(path);
  }
}

/* Takes the header and the caller's standard descriptors. */
static int receive_with_fds(int socket_fd, uint32_t* header, int* fds) {
  union {
    char bytes[CMSG_SPACE(3 * sizeof(int))];
    struct cmsghdr align;
  } control;
  struct iovec io = {.iov_base = header, .iov_len = sizeof *header};
  struct msghdr message = {
      .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  if (recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) != (ssize_t)sizeof *header) {
    return -1;
  }
  const struct cmsghdr* rights = CMSG_FIRSTHDR(&message);
  if (rights == NULL || rights->cmsg_type != SCM_RIGHTS || rights->cmsg_len != CMSG_LEN(3 * sizeof(int))) {
    return -1;
  }
  memcpy(fds, CMSG_DATA(rights), 3 * sizeof(int));
  return 0;
}

/* Reads one request and starts its command. A caller of our own gang that stalls holds us up for 5 s at most. */
static void accept_guest(int listener) {
  static char payload[COMMAND_MAX + 1];
  const int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (connection < 0) {
    return;
  }
  const struct timeval limit = {.tv_sec = 5};
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  uint32_t size = 0;
  int fds[3] = {-1, -1, -1};
  if (guest_count < MAX_GUESTS && receive_with_fds(connection, &size, fds) == 0 && size > 0 && size <= COMMAND_MAX &&
      read_all(connection, payload, size) == 0) {
    payload[size] = '\0';
    const char* cwd = payload;
    char* command = payload + strlen(payload) + 1;
    if (command < payload + size) {
      char* argv[] = {"/bin/sh", "-c", command, NULL};
      const pid_t pid = start_program(argv, fds, cwd);
      if (pid > 0) {
        guests[guest_count++] = (struct guest){.connection = connection, .pid = pid};
      }
    }
  }
  for (int i = 0; i < 3; ++i) {
    if (fds[i] >= 0) {
      close(fds[i]);
    }
  }
  if (guest_count == 0 || guests[guest_count - 1].connection != connection) {
    close(connection);
  }
}

static void remove_guest(int index) {
  close(guests[index].connection);
  guests[index] = guests[--guest_count];
}

static void on_ended(pid_t pid, int status) {
  for (int i = 0; i < guest_count; ++i) {
    if (guests[i].pid == pid) {
      const int32_t code = exit_code_of(status);
      (void)!write_all(guests[i].connection, &code, sizeof code);
      remove_guest(i);
      return;
    }
  }
}

/* Reaps all that has ended; true when it is time to end ourselves. */
static int reap(pid_t child, int is_ending, int* code) {
  while (1) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended == child) {
      *code = exit_code_of(status);
    } else if (ended > 0) {
      on_ended(ended, status);
    }
    /* After SIGTERM the rest of the group may still be saving its state: wait for all of it (the engine kills us when
     * the grace is over). Without one, what is left behind dies with us. */
    if (*code >= 0 && (!is_ending || (ended < 0 && errno == ECHILD))) {
      return 1;
    }
    if (ended <= 0) {
      return 0;
    }
  }
}

static void pass_on(pid_t child, int number) {
  kill(-child, number);
  for (int i = 0; i < guest_count; ++i) {
    kill(-guests[i].pid, number);
  }
}

static int run_init(char** argv) {
  const char* gang_name = NULL;
  argv = read_options(argv, &gang_name);
  if (argv == NULL) {
    return 125;
  }
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &signals_before);
  const int signals = signalfd(-1, &all, SFD_CLOEXEC);
  const int listener = gang_name == NULL ? -1 : open_gang_socket(gang_name);
  if (signals < 0 || (gang_name != NULL && listener < 0)) {
    return 125;
  }
  const pid_t child = start_program(argv, NULL, NULL);
  if (child < 0) {
    complain("fork", strerror(errno));
    return 125;
  }
  int code = -1;
  int is_ending = 0;
  while (1) {
    struct pollfd polls[MAX_GUESTS + 2] = {{.fd = signals, .events = POLLIN}, {.fd = listener, .events = POLLIN}};
    for (int i = 0; i < guest_count; ++i) {
      polls[i + 2] = (struct pollfd){.fd = guests[i].connection, .events = POLLIN};
    }
    const int polled = guest_count;
    if (poll(polls, (nfds_t)polled + 2, -1) < 0) {
      continue;
    }
    /* From the last one, because removing moves the last into the gap. */
    for (int i = polled - 1; i >= 0; --i) {
      if (polls[i + 2].revents != 0) {
        kill(-guests[i].pid, SIGKILL); /* its caller is gone */
        remove_guest(i);
      }
    }
    if (polls[1].revents != 0) {
      accept_guest(listener);
    }
    struct signalfd_siginfo info;
    if (polls[0].revents == 0 || read(signals, &info, sizeof info) != (ssize_t)sizeof info) {
      continue;
    }
    if (info.ssi_signo != SIGCHLD) {
      is_ending |= info.ssi_signo == SIGTERM;
      pass_on(child, (int)info.ssi_signo);
    }
    if (reap(child, is_ending, &code)) {
      close_gang_socket(gang_name);
      leave_mark(code);
      return code;
    }
  }
}

/* Sends the header with our three standard descriptors. */
static int send_with_fds(int socket_fd, uint32_t header) {
  int fds[3] = {0, 1, 2};
  union {
    char bytes[CMSG_SPACE(sizeof fds)];
    struct cmsghdr align;
  } control;
  memset(&control, 0, sizeof control);
  struct iovec io = {.iov_base = &header, .iov_len = sizeof header};
  struct msghdr message = {
      .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof fds);
  memcpy(CMSG_DATA(rights), fds, sizeof fds);
  return sendmsg(socket_fd, &message, MSG_NOSIGNAL) == (ssize_t)sizeof header ? 0 : -1;
}

static void use_dev_null_as_input(void) {
  const int fd = open("/dev/null", O_RDONLY);
  if (fd >= 0) {
    dup2(fd, STDIN_FILENO);
    close(fd);
  }
}

/* The engine puts an empty file under the name of each task; the task's init replaces it by its socket. So a refusal means
 * that the task is about to start, and a missing name that there is no such task. */
static int call_task(const char* name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
  if (strchr(name, '/') != NULL ||
      snprintf(address.sun_path, sizeof address.sun_path, "%s%s", GANG_DIR, name) >= (int)sizeof address.sun_path) {
    complain(name, "not the name of a task");
    return -1;
  }
  for (int left = CONNECT_TRIES; left > 0; --left) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      break;
    }
    if (connect(fd, (struct sockaddr*)&address, sizeof address) == 0) {
      return fd;
    }
    const int error = errno;
    close(fd);
    errno = error;
    if (error != ECONNREFUSED) {
      break;
    }
    nanosleep(&pause, NULL);
  }
  complain(name, errno == ENOENT ? "no such task in this gang" : strerror(errno));
  return -1;
}

static int run_rsh(char** argv) {
  /* The options of rsh and ssh that take a value; all are accepted and mean nothing here. */
  const char* const with_value = "lopiFeEbcDmQSWwJLR";
  for (; *argv != NULL && (*argv)[0] == '-' && (*argv)[1] != '\0'; ++argv) {
    const char* option = *argv + 1;
    if (strcmp(option, "n") == 0) {
      use_dev_null_as_input();
    }
    if (strchr(with_value, option[0]) != NULL && option[1] == '\0' && argv[1] != NULL) {
      ++argv;
    }
  }
  if (argv[0] == NULL || argv[1] == NULL) {
    complain("rsh", "usage: rsh [options] HOST COMMAND...");
    return 255;
  }
  static char payload[COMMAND_MAX];
  if (getcwd(payload, sizeof payload) == NULL) {
    complain("rsh", "the working directory is gone");
    return 255;
  }
  size_t size = strlen(payload) + 1;
  for (char** word = argv + 1; *word != NULL; ++word) {
    const size_t length = strlen(*word);
    if (size + length + 2 > sizeof payload) {
      complain("rsh", "the command is longer than 1 MiB");
      return 255;
    }
    memcpy(payload + size, *word, length);
    size += length;
    payload[size++] = word[1] == NULL ? '\0' : ' ';
  }
  const int fd = call_task(argv[0]);
  if (fd < 0) {
    return 255;
  }
  int32_t answer = 255;
  if (send_with_fds(fd, (uint32_t)size) != 0 || write_all(fd, payload, size) != 0) {
    complain(argv[0], strerror(errno));
    return 255;
  }
  if (read_all(fd, &answer, sizeof answer) != 0) {
    complain("rsh", "the task went away before the command ended");
    return 255;
  }
  return answer;
}

int main(int argc, char** argv) {
  const char* slash = strrchr(argv[0], '/');
  const char* verb = slash == NULL ? argv[0] : slash + 1;
  if (strcmp(verb, "busbar-rsh") == 0 && argc > 1) {
    verb = argv[1];
    ++argv;
  }
  ++argv;
  if (strcmp(verb, "init") == 0) {
    return run_init(argv);
  }
  if (strcmp(verb, "rsh") == 0) {
    return run_rsh(argv);
  }
  if (strcmp(verb, "run") == 0) {
    const char* ignored = NULL;
    argv = read_options(argv, &ignored);
    return argv == NULL ? 125 : become(argv);
  }
  if (strcmp(verb, "probe") == 0) {
    return 0;
  }
  complain(verb, "expected rsh, init, run or probe");
  return 255;
}

// exec_test.cc - replacing the program: what the new one starts with, and that a failure changes nothing.
// Runs in:  native_tests; the program that execs is a child of the test.
#include "posix/exec.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "test.h"

namespace {

// As Node runs: SIGPIPE and SIGXFSZ ignored, and here some signals blocked and stdio closed on exec too.
void LikeNode() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGRTMAX, SIG_IGN);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGRTMIN + 1);
  pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
  for (int fd = 0; fd <= 2; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

// Everything that /bin/sh, started from a process like Node's, writes to its standard output.
std::string OutputOf(const std::string& script, const std::vector<std::string>& more_args,
                     const std::vector<std::string>& env, void (*prepare)()) {
  int out[2];
  CHECK_EQ(pipe2(out, O_CLOEXEC), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(out[1], STDOUT_FILENO);
    LikeNode();
    prepare();
    std::vector<std::string> args = {"some name", "-c", script};
    args.insert(args.end(), more_args.begin(), more_args.end());
    const atfork::Error error = atfork::ExecInPlace("/bin/sh", args, env);
    atfork::test::Fail(__FILE__, __LINE__, std::string(error.syscall) + " " + std::to_string(error.errnum));
  }
  close(out[1]);
  std::string text;
  char buffer[512];
  for (ssize_t length; (length = read(out[0], buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<size_t>(length));
  }
  int status = 0;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
  return text;
}

void NoPreparation() {}

}  // namespace

TEST(exec_passes_arguments_and_environment) {
  CHECK_EQ(
      OutputOf("printf '%s|' \"$0\" \"$@\" \"$A\" \"${PATH_TO-none}\"", {"zero", "", "a b"}, {"A=1=2"}, NoPreparation),
      "zero||a b|1=2|none|");
}

TEST(exec_starts_with_no_signal_ignored_or_blocked) {
  CHECK_EQ(OutputOf("while read name value; do case $name in SigIgn:|SigBlk:) echo $name $value;; esac; done "
                    "</proc/self/status",
                    {}, {}, NoPreparation),
           "SigBlk: 0000000000000000\nSigIgn: 0000000000000000\n");
}

TEST(exec_closes_what_is_marked_and_keeps_stdio) {
  const auto open_two = [] {
    CHECK_EQ(dup2(open("/dev/null", O_RDONLY), 20), 20);
    CHECK_EQ(fcntl(open("/dev/null", O_RDONLY), F_DUPFD_CLOEXEC, 21), 21);
  };
  CHECK_EQ(
      OutputOf("for fd in 0 1 2 20 21; do [ -e /proc/$$/fd/$fd ] && printf '%s ' $fd; done; true", {}, {}, open_two),
      "0 1 2 20 ");
}

TEST(exec_leaves_a_closed_stdin_closed) {
  const auto close_stdin = [] { close(STDIN_FILENO); };
  CHECK_EQ(OutputOf("[ -e /proc/$$/fd/0 ] || echo closed", {}, {}, close_stdin), "closed\n");
}

TEST(exec_that_fails_changes_nothing) {
  LikeNode();
  fcntl(1, F_SETFD, 0);
  for (const auto& [file, errnum] : {std::pair("/no/such/file", ENOENT), std::pair("/dev/null", EACCES)}) {
    const atfork::Error error = atfork::ExecInPlace(file, {"x"}, {});
    CHECK_EQ(error.errnum, errnum);
    CHECK_EQ(std::string(error.syscall), "execve");
  }
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction now;
    if (sigaction(number, nullptr, &now) != 0) continue;
    const bool ignored = number == SIGPIPE || number == SIGXFSZ || number == SIGRTMAX;
    CHECK_EQ(now.sa_handler == SIG_IGN, ignored);
    if (!ignored) CHECK(now.sa_handler == SIG_DFL);
  }
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  for (int number = 1; number < NSIG; ++number) {
    CHECK_EQ(sigismember(&mask, number) == 1, number == SIGTERM || number == SIGRTMIN + 1);
  }
  CHECK_EQ(fcntl(0, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(1, F_GETFD), 0);
  CHECK_EQ(fcntl(2, F_GETFD), FD_CLOEXEC);
}

// child_end.cc - how one known child ended and what it used, and signals to it.
// Runs in:  the parent, any thread. Not async-signal-safe.
// Calls:    waitid(2), raw since libc's leaves out what the child used, with P_PIDFD (Linux 5.4) or P_PID, never -1;
//           pidfd_send_signal(2), or kill(2) for a child that is there and unreaped.
// Returns:  ECHILD, never an invented status, when somebody else reaped it. EINTR: retried. Allocates: no.
#include "posix/child_end.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424  // one number on every architecture
#endif

namespace atfork {
namespace {

constexpr int kPidfd = 3;  // P_PIDFD, which glibc has since 2.36

int WaitOnce(pid_t pid, int pidfd, siginfo_t* info, int flags, rusage* usage) {
  long result = -1;
  errno = EINVAL;
  if (pidfd >= 0) result = syscall(SYS_waitid, kPidfd, pidfd, info, flags, usage);
  // EINVAL: a kernel that knows no P_PIDFD.
  if (result != 0 && errno == EINVAL) result = syscall(SYS_waitid, P_PID, pid, info, flags, usage);
  return static_cast<int>(result);
}

}  // namespace

Result<std::optional<ChildEnd>> ReapChild(pid_t pid, int pidfd) {
  siginfo_t info = {};
  ChildEnd end = {};
  int result;
  do {
    result = WaitOnce(pid, pidfd, &info, WEXITED | WNOHANG, &end.usage);
  } while (result != 0 && errno == EINTR);
  // EAGAIN: it has not, and the pidfd is one that does not block.
  if (result != 0 && errno != EAGAIN) return Error::Errno("waitid", "wait");
  if (result != 0 || info.si_pid == 0) return std::optional<ChildEnd>();
  end.status = {info.si_code != CLD_EXITED, info.si_status, info.si_code == CLD_DUMPED};
  return std::optional<ChildEnd>(end);
}

void ReapSilently(pid_t pid, int pidfd) {
  siginfo_t info = {};
  while (WaitOnce(pid, pidfd, &info, WEXITED, nullptr) != 0 && errno == EINTR) {
  }
}

void KillAndReap(pid_t pid, int pidfd) {
  SignalChild(pid, pidfd, SIGKILL);
  ReapSilently(pid, pidfd);
}

bool IsChild(pid_t pid) {
  siginfo_t info = {};
  return WaitOnce(pid, -1, &info, WEXITED | WNOHANG | WNOWAIT, nullptr) == 0;
}

int SignalChild(pid_t pid, int pidfd, int signal) {
  if (pidfd >= 0) {
    if (syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return 0;
    if (errno != ENOSYS) return errno;
  }
  // As long as nobody has reaped it the pid is its own.
  siginfo_t info = {};
  if (WaitOnce(pid, -1, &info, WEXITED | WNOHANG | WNOWAIT, nullptr) != 0) return ESRCH;
  if (info.si_pid != 0) return ESRCH;
  return kill(pid, signal) == 0 ? 0 : errno;
}

}  // namespace atfork

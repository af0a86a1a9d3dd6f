// fork_exec.cc - starts another program from a process of any size and with any number of threads.
// Runs in:  the parent or a complete child, any thread. Not async-signal-safe.
// Calls:    clone(2), pipe2(2), read(2), poll(2), fcntl(2), waitid(2), and what exec_plan.h and dumpable.h list.
//           Allocates, in the parent only. No handler of pthread_atfork(3) runs, as with vfork(2) and posix_spawn(3).
// Returns:  Result<StartedChild>; an error's `stage` says where the child was. EINTR: retried.
//
// The child is made with CLONE_VM and CLONE_VFORK: it borrows the parent's memory, so nothing is copied however much
// there is, and the calling thread stands still until the child has become the program. The others run: the child works
// with nothing but its request and a stack of its own (child/exec_child). Where a filter refuses such a clone, the
// child is a copy, as of fork(2).
//
// The child reports a failure through a pipe. After CLONE_VFORK it is all in there, or nothing is. A copy is waited
// for. That the pipe is closed would not tell, since a process that another thread forks at the same time may have it,
// too. So the copy locks it (fcntl(2)): such a lock is one process's alone, and goes when that one executes its
// program, which closes the descriptor, or ends.
//
// All signals are blocked throughout: so no fork() of this library falls in between, whose child would have the
// program's ends of pipes, and hold them open.
#include "posix/fork_exec.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "posix/child_end.h"
#include "posix/dumpable.h"
#include "posix/signals_blocked.h"
#include "posix/wait.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000  // Linux 5.2; older kernels take no notice of it
#endif

namespace atfork {
namespace {

using child::ExecFailure;
using child::ExecRequest;
using child::ExecStage;

// Frames of child/exec_child take 2 KiB; nothing else runs there.
constexpr size_t kStackBytes = 32 * 1024;
constexpr int kPollMs = 20;

struct StageName {
  const char* syscall;
  const char* stage;
};
constexpr StageName kStages[] = {
    {"clone", "start"},
    {"dup3", "fd"},
    {"close_range", "closeFds"},
    {"setsid", "setsid"},
    {"setpgid", "pgid"},
    {"ioctl", "terminal"},
    {"ioctl", "foreground"},
    {"umask", "umask"},
    {"prlimit", "rlimit"},
    {"setpriority", "nice"},
    {"sched_setaffinity", "affinity"},
    {"chroot", "chroot"},
    {"chdir", "cwd"},
    {"prctl", "noNewPrivs"},
    {"setgroups", "ids"},
    {"setresgid", "ids"},
    {"setresuid", "ids"},
    {"prctl", "parentDeathSignal"},
    {"execve", "exec"},
};
static_assert(sizeof kStages / sizeof *kStages == child::kExecStages);

struct Free {
  void operator()(void* memory) const { free(memory); }
};

int RunChild(void* request) { child::ExecChild(static_cast<const ExecRequest*>(request)); }

enum class Copy { kNone, kAll };

// Returns the pid, or -1 with errno.
pid_t Start(ExecRequest* request, const ExecMeans& means, int* pidfd, Copy* copy) {
  const int wants_pidfd = means.pidfd ? CLONE_PIDFD : 0;
  const bool may_share = !request->set_groups || IsClosedByChangeOfIds();
  if (means.vfork && may_share) {
    const std::unique_ptr<char, Free> stack(static_cast<char*>(malloc(kStackBytes)));
    if (stack == nullptr) return -1;
    *copy = Copy::kNone;
    const pid_t pid =
        clone(RunChild, stack.get() + kStackBytes, CLONE_VM | CLONE_VFORK | SIGCHLD | wants_pidfd, request, pidfd);
    if (pid != -1 || (errno != EINVAL && errno != ENOSYS && errno != EPERM)) return pid;
  }
  *copy = Copy::kAll;
  request->announces = true;
  // Not fork(3): handlers would run, some in this process alone, and what they allow for does not happen.
  const auto pid = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (pid == 0) child::ExecChild(request);
  if (pid > 0 && means.pidfd) *pidfd = OpenPidfd(pid);
  return pid;
}

ssize_t Read(int fd, void* buffer, size_t size) {
  ssize_t length;
  do {
    length = read(fd, buffer, size);
  } while (length == -1 && errno == EINTR);
  return length;
}

bool HasEnded(pid_t pid) {
  siginfo_t info = {};
  return waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

bool IsAnnouncement(const void* said, ssize_t length) {
  return length == sizeof child::kExecAnnouncement && memcmp(said, &child::kExecAnnouncement, sizeof(ExecFailure)) == 0;
}

// What a copy has said when it has become the program, or has ended; the result is read(2)'s.
ssize_t AwaitCopy(pid_t pid, int report, void* said, size_t size) {
  pollfd readable = {report, POLLIN, 0};
  for (bool has_ended = false;;) {
    const ssize_t length = Read(report, said, sizeof(ExecFailure));
    if (IsAnnouncement(said, length)) break;
    if (length >= 0 || has_ended) return length;
    if (poll(&readable, 1, kPollMs) == 0) has_ended = HasEnded(pid);
  }
  struct flock lock = {};
  lock.l_type = F_RDLCK;
  while (fcntl(report, F_SETLKW, &lock) == -1 && errno == EINTR) {
  }
  return Read(report, said, size);
}

}  // namespace

Status ReadReport(const ExecPlan& plan, const void* report, ssize_t length) {
  if (length <= 0) return Unit{};
  ExecFailure failure;
  const bool is_whole = length == sizeof failure;
  if (is_whole) memcpy(&failure, report, sizeof failure);
  if (!is_whole || failure.magic != child::kExecFailureMagic || failure.stage <= 0 ||
      failure.stage >= child::kExecStages || failure.errnum <= 0) {
    Error error = Error::Errno("read", "report", EPROTO);
    error.detail = std::to_string(length) + " bytes that say nothing";
    return error;
  }
  const StageName& name = kStages[failure.stage];
  Error error = Error::Errno(name.syscall, name.stage, failure.errnum);
  error.detail = plan.Subject(static_cast<ExecStage>(failure.stage), failure.index);
  return error;
}

Result<StartedChild> ForkExec(ExecOptions options, const ExecMeans& means) {
  const bool own_mask = options.signal_mask.has_value();
  ExecPlan plan(std::move(options));
  const SignalsBlocked blocked;
  Status opened = plan.Open(means);
  if (!opened) return opened.error();
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return Error::Errno("pipe2", "start");
  const UniqueFd report(ends[0]);
  UniqueFd childs_report(ends[1]);

  ExecRequest* const request = plan.request();
  request->error_fd = childs_report.get();
  request->parent = getpid();
  if (!own_mask) request->signal_mask = blocked.before();
  StartedChild child;
  Copy copy = Copy::kNone;
  int pidfd = -1;
  int errnum = 0;
  {
    const DumpableKept dumpable(request->set_groups);
    child.pid = Start(request, means, &pidfd, &copy);
    errnum = errno;
  }
  if (child.pid == -1) return Error::Errno("clone", "start", errnum);
  child.pidfd.reset(pidfd);
  childs_report.reset();
  child.stdio = plan.TakeOwnEnds();

  char said[2 * sizeof(ExecFailure)];
  const ssize_t length = copy == Copy::kAll ? AwaitCopy(child.pid, report.get(), said, sizeof said)
                                            : Read(report.get(), said, sizeof said);
  Status started = ReadReport(plan, said, length);
  if (started) return child;
  // It has ended, unless what it said was not its own.
  if (started.error().errnum == EPROTO) SignalChild(child.pid, child.pidfd.get(), SIGKILL);
  ReapSilently(child.pid, child.pidfd.get());
  return started.error();
}

}  // namespace atfork

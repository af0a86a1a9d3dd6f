// wait.cc - wait for one known child and decode its status.
// Runs in:  the parent, any thread: Linux lets each thread wait for the children of all. Not async-signal-safe.
// Calls:    waitid(2) with P_PID, which takes no pid <= 0: libuv waits pid by pid and drops the 'exit' of a child that
//           somebody else reaped. pidfd_open(2) and ppoll(2) for a wait with a limit; clock_nanosleep(2) where there is
//           no pidfd.
// Returns:  Result<optional<WaitStatus>>; ECHILD when it was already reaped. EINTR: retried. Allocates: no.
#include "posix/wait.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "posix/fd.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434  // one number on every architecture; glibc has a wrapper only since 2.36
#endif

namespace atfork {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using Outcome = Result<std::optional<WaitStatus>>;

constexpr nanoseconds kFirstNap = milliseconds(1);
constexpr nanoseconds kLongestNap = milliseconds(32);

nanoseconds Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

timespec ToTimespec(nanoseconds time) {
  const auto whole = std::chrono::duration_cast<seconds>(time);
  timespec result;
  result.tv_sec = static_cast<time_t>(whole.count());
  result.tv_nsec = static_cast<long>((time - whole).count());
  return result;
}

// WEXITED alone: a stopped or continued child is a running one, and its stop stays to be seen by whoever asks for it.
Outcome Reap(pid_t pid, int flags) {
  siginfo_t info = {};  // with WNOHANG the kernel need not touch it: si_pid 0 then means "nothing yet"
  int result;
  do {
    result = waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | flags);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return Error::Errno("waitid", "wait");
  if (info.si_pid == 0) return Outcome(std::nullopt);
  return Outcome(WaitStatus{info.si_code != CLD_EXITED, info.si_status, info.si_code == CLD_DUMPED});
}

// How a wait with a limit sleeps between two looks at the child.
class Sleeper {
 public:
  // Without a pidfd it naps. When `pid` is no process at all, the first look says ECHILD.
  Sleeper(pid_t pid, nanoseconds deadline) : deadline_(deadline), pidfd_(OpenPidfd(pid)) {}

  // Returns when the child may have ended, when the deadline has come, or early.
  void Sleep() {
    if (pidfd_) {
      pollfd ended = {pidfd_.get(), POLLIN, 0};
      const timespec left = ToTimespec(std::max(deadline_ - Now(), nanoseconds(0)));
      const int ready = ppoll(&ended, 1, &left, nullptr);
      if (ready == 0 || (ready < 0 && errno == EINTR)) return;
      // Ready, so the next look reaps it, unless a debugger holds the zombie: then this pidfd stays ready, and polling
      // it again would spin.
      pidfd_.reset();
      return;
    }
    const timespec wake = ToTimespec(std::min(Now() + nap_, deadline_));
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, nullptr);
    nap_ = std::min(nap_ * 2, kLongestNap);
  }

 private:
  const nanoseconds deadline_;
  UniqueFd pidfd_;
  nanoseconds nap_ = kFirstNap;
};

}  // namespace

Outcome WaitForChild(pid_t pid, std::optional<nanoseconds> timeout) {
  if (!timeout) return Reap(pid, 0);
  if (*timeout <= nanoseconds(0)) return Reap(pid, WNOHANG);

  const nanoseconds deadline = Now() + *timeout;
  Sleeper sleeper(pid, deadline);
  for (;;) {
    Outcome outcome = Reap(pid, WNOHANG);
    if (!outcome.ok() || outcome.value().has_value() || Now() >= deadline) return outcome;
    sleeper.Sleep();
  }
}

int OpenPidfd(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

int FirstRealTimeSignal() { return SIGRTMIN; }

}  // namespace atfork

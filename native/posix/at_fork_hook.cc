// at_fork_hook.cc - the one pthread_atfork registration of this process. Everything else goes into the list behind it:
// glibc before 2.36 deadlocks when a handler registers another one (BZ 24595), and its list knows no ranks.
// Runs in:  prepare and parent on whichever thread calls fork(), of whatever library; child on the only thread of the
//           child, before fork() returns there.
// Calls:    pthread_atfork(3); the handlers of the list; getpid(2), gettid(2) in the child; futex(2). Allocates: no.
//           Keeps errno: the caller of fork() must see why it failed, and old versions of glibc do not see to that.
// Not run:  by vfork(2), posix_spawn(3) and system(3), whose children run no code of this process; by _Fork(3) and raw
//           clone(2), whose children have the lock as it was, owners that do not exist there included (bypassed_fork).
#include "posix/at_fork_hook.h"

#include <pthread.h>

#include <cerrno>
#include <climits>

#include "posix/bypassed_fork.h"
#include "posix/every_child.h"
#include "posix/process_state.h"

namespace atfork {
namespace {

class KeepErrno {
 public:
  KeepErrno() : saved_(errno) {}
  ~KeepErrno() { errno = saved_; }
  KeepErrno(const KeepErrno&) = delete;
  KeepErrno& operator=(const KeepErrno&) = delete;

 private:
  const int saved_;
};

// Forks may follow each other without a moment in between; but new ones are none of the waiter's business for long.
constexpr int64_t kLongestSleep = 1000 * 1000;  // ns

constexpr Ranks kOutside = {INT_MIN, kLocksRank - 1};
constexpr Ranks kInside = {kLocksRank, INT_MAX};

void BeginFork(ThreadIdentity* self) {
  ++self->forks_under_way;
  GetProcessState()->forks_under_way.fetch_add(1);
}

void EndFork(ThreadIdentity* self) {
  --self->forks_under_way;
  std::atomic<uint32_t>& all = GetProcessState()->forks_under_way;
  all.fetch_sub(1);
  FutexWake(&all, INT_MAX);
}

// In our own fork() the handlers have run, and what is left is one level of the locks' depth.
void OnPrepare() {
  const KeepErrno keep;
  ThreadIdentity& self = ThisThread();
  ProcessState& state = *GetProcessState();
  if (self.own_fork) {
    state.locks.PrepareAllForFork(self);
    state.shared_locks.PrepareForFork(self);
    return;
  }
  BeginFork(&self);
  const uint32_t fork = state.at_fork.Begin();
  state.at_fork.RunPrepare(fork, kOutside);
  state.locks.PrepareAllForFork(self);
  state.at_fork.RunPrepare(fork, kInside);
  state.shared_locks.PrepareForFork(self);
  // Only now, behind the last handler: one of them may have forked on its own.
  self.fork = fork;
}

void OnParent() {
  const KeepErrno keep;
  ThreadIdentity& self = ThisThread();
  ProcessState& state = *GetProcessState();
  state.shared_locks.AfterForkParent();
  if (self.own_fork) return state.locks.AllAfterForkParent(self);
  const uint32_t fork = self.fork;
  state.at_fork.RunParent(fork, kInside);
  state.locks.AllAfterForkParent(self);
  state.at_fork.RunParent(fork, kOutside);
  EndFork(&self);
}

// The locks first, although the handlers of a high rank prepared inside of them: a handler may fork on its own, and
// finds them in order then. There is nobody who could take one meanwhile.
ATFORK_IN_EVERY_CHILD void OnChild() {
  const KeepErrno keep;
  EnterChild();
  ThreadIdentity& self = ThisThread();
  ProcessState& state = *GetProcessState();
  const bool own_fork = self.own_fork;
  const uint32_t fork = self.fork;
  self.own_fork = false;
  state.forks_under_way = self.forks_under_way;
  state.locks.AllAfterForkChild(self);
  state.at_fork.RunChild(fork);
  if (!own_fork) EndFork(&self);
}

}  // namespace

int InstallAtForkHook() { return pthread_atfork(OnPrepare, OnParent, OnChild); }

bool PrepareOwnFork(int64_t deadline, LocksRefusal* refusal) {
  if (IsBypassedFork()) {
    refusal->status = AcquireStatus::kBypassed;
    return false;
  }
  ThreadIdentity& self = ThisThread();
  ProcessState& state = *GetProcessState();
  BeginFork(&self);
  const uint32_t fork = state.at_fork.Begin();
  state.at_fork.RunPrepare(fork, kOutside);
  if (!state.locks.AcquireAllForFork(self, deadline, refusal)) {
    state.at_fork.RunParent(fork, kOutside);
    EndFork(&self);
    return false;
  }
  state.at_fork.RunPrepare(fork, kInside);
  self.fork = fork;
  self.own_fork = true;
  return true;
}

void FinishOwnFork() {
  ThreadIdentity& self = ThisThread();
  ProcessState& state = *GetProcessState();
  const uint32_t fork = self.fork;
  // In the child they have run.
  const bool handlers_are_due = self.own_fork;
  self.own_fork = false;
  if (handlers_are_due) state.at_fork.RunParent(fork, kInside);
  state.locks.ReleaseAllAfterFork(self);
  if (handlers_are_due) state.at_fork.RunParent(fork, kOutside);
  EndFork(&self);
}

void AwaitForks() {
  const ThreadIdentity& self = ThisThread();
  std::atomic<uint32_t>& all = GetProcessState()->forks_under_way;
  for (uint32_t seen = all.load(); seen > self.forks_under_way; seen = all.load()) {
    if (IsBypassedFork()) return;  // those that were under way are the parent's
    static_cast<void>(FutexWait(&all, seen, MonotonicNanos() + kLongestSleep));
  }
}

}  // namespace atfork

// at_fork_hook.cc - the one pthread_atfork registration of this process. Everything else goes into the list behind it:
// glibc before 2.36 deadlocks when a handler registers another one (BZ 24595), and its list knows no ranks.
// Runs in:  prepare and parent on whichever thread calls fork(), of whatever library; child on the only thread of the
//           child, before fork() returns there.
// Calls:    pthread_atfork(3); the handlers of the list; getpid(2), gettid(2) in the child. Allocates: no.
//           Keeps errno: the caller of fork() must see why it failed, and old versions of glibc do not see to that.
// Not run:  by vfork(2), posix_spawn(3) and system(3), whose children run no code of this process; by _Fork(3) and raw
//           clone(2), whose children have the lock as it was, owners that do not exist there included.
#include "posix/at_fork_hook.h"

#include <pthread.h>

#include <cerrno>

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

void OnPrepare() {
  const KeepErrno keep;
  // Only now, behind the last handler, is the number stored: one of them may have forked on its own.
  ThisThread().at_fork_limit = GetProcessState()->at_fork.RunPrepare();
}

void OnParent() {
  const KeepErrno keep;
  GetProcessState()->at_fork.RunParent(ThisThread().at_fork_limit);
}

void OnChild() {
  const KeepErrno keep;
  EnterChild();
  GetProcessState()->at_fork.RunChild(ThisThread().at_fork_limit);
}

}  // namespace

int InstallAtForkHook() { return pthread_atfork(OnPrepare, OnParent, OnChild); }

}  // namespace atfork

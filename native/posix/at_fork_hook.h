// at_fork_hook.h - what happens around every fork() of this process. See at_fork_hook.cc.
#ifndef ATFORK_POSIX_AT_FORK_HOOK_H_
#define ATFORK_POSIX_AT_FORK_HOOK_H_

#include <cstdint>

#include "posix/lock_registry.h"

namespace atfork {

// Handlers of a lower rank prepare before the locks are taken, the others while all of them are held.
inline constexpr int kLocksRank = 1000;

// Registers the handlers, once in the life of a process. 0, or the errno of pthread_atfork(3).
int InstallAtForkHook();

// Our fork(), while all other threads still run: everything that is to be done before, with patience for the locks.
// False: nothing has been done, and why. FinishOwnFork undoes it: in the parent, in the child, or when there was no
// fork.
bool PrepareOwnFork(int64_t deadline, LocksRefusal* refusal);
void FinishOwnFork();

// Returns when no fork is under way any more that began before, but those of handlers that this thread is in.
void AwaitForks();

}  // namespace atfork

#endif  // ATFORK_POSIX_AT_FORK_HOOK_H_

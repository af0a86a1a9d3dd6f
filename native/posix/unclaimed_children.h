// unclaimed_children.h - children that nobody waits for any more: those of a Worker that has ended. Whoever knows a pid
// can wait for it, until they are reaped: when the next child is watched, as CPython's subprocess does it (_cleanup).
// So there are never more zombies than children that ran when their Workers ended.
//
// Runs in:  any thread, either side of a fork. Allocates.
#ifndef ATFORK_POSIX_UNCLAIMED_CHILDREN_H_
#define ATFORK_POSIX_UNCLAIMED_CHILDREN_H_

#include <sys/types.h>

#include "posix/fd.h"

namespace atfork {

// `pidfd` -1: there is none. Where there is no memory for it the child stays a zombie, until this process ends.
void AddUnclaimedChild(pid_t pid, UniqueFd pidfd);

// Those that have ended, but for one that is watched from here on.
void ReapUnclaimedChildren(pid_t claimed);

// Child of fork(): they are its parent's.
void ForgetUnclaimedChildren();

}  // namespace atfork

#endif  // ATFORK_POSIX_UNCLAIMED_CHILDREN_H_

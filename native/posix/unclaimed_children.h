// unclaimed_children.h - children that nobody waits for any more: those of a Worker that has ended. Whoever knows a pid
// can claim it, until they are reaped: when the next child is watched, as CPython's subprocess does it (_cleanup). So
// there are never more zombies than children that ran when their Workers ended.
//
// Runs in:  any thread, either side of a fork. Allocates.
#ifndef ATFORK_POSIX_UNCLAIMED_CHILDREN_H_
#define ATFORK_POSIX_UNCLAIMED_CHILDREN_H_

#include <sys/types.h>

#include "posix/fd.h"

namespace atfork {

// An event loop waits for this child, as long as this is there.
class ClaimedChild {
 public:
  explicit ClaimedChild(pid_t its_pid);
  ~ClaimedChild();
  ClaimedChild(const ClaimedChild&) = delete;
  ClaimedChild& operator=(const ClaimedChild&) = delete;

  const pid_t pid;

 private:
  friend bool IsClaimed(pid_t pid);
  ClaimedChild* next_;
  ClaimedChild** link_;  // what points to this
};

// `pidfd` -1: there is none. Where there is no memory for it the child stays a zombie, until this process ends.
void AddUnclaimedChild(pid_t pid, UniqueFd pidfd);

// Those that have ended.
void ReapUnclaimedChildren();

// Child of fork(): they are its parent's.
void ForgetUnclaimedChildren();

}  // namespace atfork

#endif  // ATFORK_POSIX_UNCLAIMED_CHILDREN_H_

// lock_wait.h - how a thread waits for a lock, asleep. See lock_wait.cc.
#ifndef ATFORK_POSIX_LOCK_WAIT_H_
#define ATFORK_POSIX_LOCK_WAIT_H_

#include "posix/lock.h"
#include "posix/thread_identity.h"

namespace atfork {

// What Lock::Acquire does when the lock is not to be had at once.
AcquireStatus Wait(Lock* lock, const ThreadIdentity& self, const Patience& patience);

}  // namespace atfork

#endif  // ATFORK_POSIX_LOCK_WAIT_H_

// lock.h - what all locks of one process have in common, whatever their kind: ProcessLock, ProcessSemaphore.
//
// Threads take and give them; so do event loops, which must not sleep; and forks take them all, so that nobody is at
// work under one of them while memory is copied (fork_participant.h). `self` is the calling thread, always.
#ifndef ATFORK_POSIX_LOCK_H_
#define ATFORK_POSIX_LOCK_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "posix/fork_participant.h"
#include "posix/lock_queue.h"
#include "posix/thread_directory.h"

namespace atfork {

struct LockOwner {
  ThreadDescription thread;
  uint32_t depth = 0;    // 0: it ended, and nobody has taken the lock since
  bool is_loop = false;  // a guard of the thread's event loop
};

class Lock : public ForkParticipant {
 public:
  // Nanoseconds.
  static constexpr int64_t kNap = 50 * 1000 * 1000;

  using ForkParticipant::ForkParticipant;

  virtual AcquireStatus TryAcquire(const ThreadIdentity& self) = 0;
  virtual AcquireStatus Acquire(const ThreadIdentity& self, const Patience& patience) = 0;
  // The next two are false, and do nothing, when this thread does not hold the lock.
  virtual bool Release(const ThreadIdentity& self) = 0;
  virtual bool MakeConsistent(const ThreadIdentity& self) = 0;

  // kTimedOut: `waiter` is in the queue, and stays in memory until it has left it. When it is woken, Claim answers in
  // the same way. Leave leaves the queue, unless the lock is the waiter's by now; Withdraw gives it back then.
  virtual AcquireStatus Enqueue(Waiter* waiter) = 0;
  virtual AcquireStatus Claim(Waiter* waiter) = 0;
  virtual AcquireStatus Leave(Waiter* waiter) = 0;
  virtual void Withdraw(Waiter* waiter) = 0;
  // As above, for what the event loop of this thread holds.
  virtual bool ReleaseByLoop(const ThreadIdentity& self) = 0;
  virtual bool MakeConsistentByLoop(const ThreadIdentity& self) = 0;

  // What other threads do meanwhile is not in the answers.
  virtual bool IsHeld() const = 0;
  virtual bool IsOrphaned() const = 0;
  // The token of the one that everybody waits for, kLoopOwner included; 0: nobody, or not one alone.
  virtual uint32_t OwnerToken() const = 0;
  // Who holds it; when it is orphaned and nobody has taken it yet, who left it behind.
  virtual std::optional<LockOwner> Owner() const = 0;
  // The tokens of those that hold it, and of those in the queue: as many as there is room for. Returns how many there
  // are.
  virtual size_t Holders(uint32_t* tokens, size_t room) const = 0;
  virtual size_t Waiters(uint32_t* tokens, size_t room) const = 0;

  // Whether this thread holds it for nothing but its fork.
  virtual bool IsHeldForForkOnly(const ThreadIdentity& self) const = 0;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_LOCK_H_

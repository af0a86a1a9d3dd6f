// lock.h - what all locks of one process have in common, whatever their kind: ProcessLock, ProcessSemaphore.
//
// Threads take and give them; so do event loops, which must not sleep; and forks take them all, so that nobody is at
// work under one of them while memory is copied (lock_registry.h). `self` is the calling thread, always.
#ifndef ATFORK_POSIX_LOCK_H_
#define ATFORK_POSIX_LOCK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "posix/futex.h"
#include "posix/lock_queue.h"
#include "posix/thread_directory.h"
#include "posix/thread_identity.h"

namespace atfork {

struct Circle;

enum class AcquireStatus {
  kAcquired,
  kOwnerDied,       // acquired; its last owner ended while holding it, and nobody has called MakeConsistent since
  kTimedOut,        // another thread holds it
  kNotRecoverable,  // for ever: it was orphaned, and released without MakeConsistent
  kCancelled,       // this thread takes no lock any more: it belongs to the parent of this process
  kTooDeep,         // held by this thread more often than can be counted; or there is no memory for it
  kDeadlock,        // its owner waits, perhaps by way of others, for a lock that this thread holds
};

constexpr bool IsAcquired(AcquireStatus status) {
  return status == AcquireStatus::kAcquired || status == AcquireStatus::kOwnerDied;
}

enum class LockKind : uint32_t { kGlobal, kLock, kSemaphore };

struct LockOwner {
  ThreadDescription thread;
  uint32_t depth = 0;    // 0: it ended, and nobody has taken the lock since
  bool is_loop = false;  // a guard of the thread's event loop
};

// How long to wait, and what to do meanwhile.
struct Patience {
  int64_t deadline = kNoDeadline;  // MonotonicNanos() + what it may take
  // Asked every Lock::kNap: whether to go on waiting. Null: yes.
  bool (*goes_on)(void* arg) = nullptr;
  void* arg = nullptr;
  // Where to say who waits for whom, with kDeadlock.
  Circle* circle = nullptr;
};

class Lock {
 public:
  // Who has waited for this long gets the lock next. Nanoseconds, like the others.
  static constexpr int64_t kFair = 1000 * 1000;
  static constexpr int64_t kNap = 50 * 1000 * 1000;
  // A thread that takes all locks for a fork looks this often for who waits for whom.
  static constexpr int64_t kForkingNap = 5 * 1000 * 1000;

  constexpr Lock(LockKind its_kind, const char* its_name, int its_rank)
      : kind(its_kind), name(its_name), rank(its_rank) {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  virtual AcquireStatus TryAcquire(const ThreadIdentity& self) = 0;
  virtual AcquireStatus Acquire(const ThreadIdentity& self, const Patience& patience) = 0;
  // The next two are false, and do nothing, when this thread does not hold the lock.
  virtual bool Release(const ThreadIdentity& self) = 0;
  virtual bool MakeConsistent(const ThreadIdentity& self) = 0;
  // This thread ends: what it and its event loop hold is orphaned.
  virtual void Abandon(const ThreadIdentity& self) = 0;

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

  // Our fork(), on the forking thread before anything is forked: not acquired means no fork, and nothing has changed;
  // but kNotRecoverable stands in nobody's way. ReleaseAfterFork undoes it: in the parent, in the child, or when there
  // was no fork after all.
  virtual AcquireStatus AcquireForFork(const ThreadIdentity& self, const Patience& patience) = 0;
  virtual void ReleaseAfterFork(const ThreadIdentity& self) = 0;
  // Whether this thread holds it for nothing but its fork.
  virtual bool IsHeldForForkOnly(const ThreadIdentity& self) const = 0;

  // Every fork(), from the at-fork handlers. In the child `self` belongs to the child already.
  virtual void PrepareForFork(const ThreadIdentity& self, int64_t deadline) = 0;
  virtual void AfterForkParent(const ThreadIdentity& self) = 0;
  virtual void AfterForkChild(const ThreadIdentity& self) = 0;

  const LockKind kind;
  const char* const name;  // in memory that stays
  // Locks of a low rank are taken first by a fork.
  const int rank;
  // The registry's.
  std::atomic<Lock*> next{nullptr};

 protected:
  ~Lock() = default;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_LOCK_H_

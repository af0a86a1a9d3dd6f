// process_lock.h - a recursive lock for the threads of one process, that a fork does not break.
//
// One 32-bit word says who holds the lock:
//
//   bits 0-29  the owner's token (thread_identity.h), 0 when nobody holds it
//   bit 30     orphaned: an owner ended while it held the lock, so what the lock protects may be half done
//   bit 31     somebody may be asleep on the word, so the release has to wake one
//
// Whoever swaps a token into a word without an owner holds the lock; without contention that is one compare-and-swap to
// take it, one exchange to give it back, and no system call. Not a pthread mutex: its owner is a tid, which the child
// of a fork does not have, so a recursive one locked before the fork could never be unlocked after it.
//
// Orphaned, as with robust mutexes (pthread_mutex_consistent(3)): the next acquire succeeds and says kOwnerDied; the
// holder repairs the state and calls MakeConsistent. If it releases without that, nobody gets the lock any more.
//
// Fork: PrepareForFork takes the lock, one level deeper if the forking thread has it already, and the two others give
// that level back. The child starts with the lock free, or held as deep as the forking thread held it, and with nobody
// asleep on it. Our own fork() calls AcquireForFork first, with as much patience as its caller has. A fork that is not
// ours (libuv's spawn, any library's) must not wait for a lock that it knows nothing about: PrepareForFork gives up
// after kForeignForkWait, and the child then finds the lock orphaned, because somebody may have been at work under it.
//
// Threads that were brought back in the child of our fork (`self.generation` is that of the parent) never get the lock,
// even if the compare-and-swap had been all that was left to do.
#ifndef ATFORK_POSIX_PROCESS_LOCK_H_
#define ATFORK_POSIX_PROCESS_LOCK_H_

#include <atomic>
#include <cstdint>
#include <optional>

#include "posix/futex.h"
#include "posix/thread_identity.h"

namespace atfork {

enum class AcquireStatus {
  kAcquired,
  kOwnerDied,       // acquired; its last owner ended while holding it, and nobody has called MakeConsistent since
  kTimedOut,        // another thread holds it
  kNotRecoverable,  // for ever: it was orphaned, and released without MakeConsistent
  kCancelled,       // this thread takes no lock any more: it belongs to the parent of this process
  kTooDeep,         // already held kMaxDepth times by this thread
};

constexpr bool IsAcquired(AcquireStatus status) {
  return status == AcquireStatus::kAcquired || status == AcquireStatus::kOwnerDied;
}

struct LockOwner {
  pid_t pid;
  pid_t tid;       // 0: not known
  uint32_t depth;  // 0: it ended, and nobody has taken the lock since
};

class alignas(64) ProcessLock {
 public:
  // How long a fork that is not ours waits for the lock. It blocks libuv's event loop, so no longer than the fork of a
  // blank Node itself takes; long enough for the usual short section to end.
  static constexpr int64_t kForeignForkWait = 1000 * 1000;  // ns
  static constexpr uint32_t kMaxDepth = 1u << 30;

  // `generation`: that of the process that the lock is made in.
  explicit constexpr ProcessLock(uint32_t generation = 0) : generation_(generation) {}
  ProcessLock(const ProcessLock&) = delete;
  ProcessLock& operator=(const ProcessLock&) = delete;

  // `self` is the calling thread, always. `deadline`: MonotonicNanos() + what it may take, or kNoDeadline.
  AcquireStatus TryAcquire(const ThreadIdentity& self);
  AcquireStatus Acquire(const ThreadIdentity& self, int64_t deadline);
  // The next two are false, and do nothing, when this thread does not hold the lock.
  [[nodiscard]] bool Release(const ThreadIdentity& self);
  [[nodiscard]] bool MakeConsistent(const ThreadIdentity& self);
  // This thread ends: what it holds is orphaned.
  void Abandon(const ThreadIdentity& self);

  // What other threads do meanwhile is not in the answer; for HeldBy there is nothing that they could do.
  bool HeldBy(const ThreadIdentity& self) const;
  bool IsHeld() const;
  bool IsOrphaned() const;
  // Who holds it; when it is orphaned and nobody has taken it yet, who left it behind.
  std::optional<LockOwner> Owner() const;

  // Our fork(), on the forking thread before anything is forked: not acquired means no fork, and nothing has changed;
  // but kNotRecoverable stands in nobody's way. ReleaseAfterFork undoes it: in the parent, in the child, or when there
  // was no fork after all.
  AcquireStatus AcquireForFork(const ThreadIdentity& self, int64_t deadline);
  void ReleaseAfterFork(const ThreadIdentity& self);

  // Every fork(), from the at-fork handlers. In the child `self` belongs to the child already.
  void PrepareForFork(const ThreadIdentity& self);
  void AfterForkParent(const ThreadIdentity& self);
  void AfterForkChild(const ThreadIdentity& self);

 private:
  static constexpr uint32_t kWaiters = 1u << 31;
  static constexpr uint32_t kOrphaned = 1u << 30;
  static constexpr uint32_t kNotRecoverable = kOrphaned | kTokenMask;  // no thread has this token

  static constexpr uint32_t OwnerOf(uint32_t word) { return word & kTokenMask; }
  bool IsForeign(const ThreadIdentity& self) const;
  AcquireStatus Took(const ThreadIdentity& self, uint32_t word);
  void Unlock(uint32_t next);
  void RecordOwner(const ThreadIdentity& self);

  std::atomic<uint32_t> word_{0};
  // The rest is written by the thread that holds the lock; others read it for Owner().
  std::atomic<uint32_t> depth_{0};
  std::atomic<uint32_t> generation_;  // of this process; written in the child handler only
  std::atomic<pid_t> owner_pid_{0};
  // Token and tid in one piece, so that a reader can tell whose tid it sees. Stays when the lock is released.
  std::atomic<uint64_t> owner_tag_{0};
};

}  // namespace atfork

#endif  // ATFORK_POSIX_PROCESS_LOCK_H_

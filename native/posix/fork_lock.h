// fork_lock.h - a mutex that the forking thread holds over a fork, so that what it guards is whole in the child.
//
// While it is held so, the forking thread passes through it, at-fork handlers of others included. Those may wait for a
// lock of their own, and its owner for this one: so whoever waits for the end of a fork gives up after half a second,
// and does not enter. Nor does anybody in the child of a fork that is not ours (child_process.spawn's, until it
// executes its program): a thread that is not there may hold it.
//
// While a thread waits its signals are blocked: it must not be parked there for a fork (runtime/park_signal), with what
// it has to note not noted yet.
//
// Runs in:  any thread, but for LockForFork and UnlockAfterFork. Not async-signal-safe.
// Calls:    pthread_mutex_clocklock(3), rt_sigprocmask(2), getpid(2), pthread_self(3). Allocates: no.
#ifndef ATFORK_POSIX_FORK_LOCK_H_
#define ATFORK_POSIX_FORK_LOCK_H_

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "posix/signals_blocked.h"

namespace atfork {

class ForkLock {
 public:
  // Holds the lock for as long as it lives, if it has entered.
  class Guard {
   public:
    explicit Guard(ForkLock* lock) : lock_(lock) {
      passes_ = pthread_equal(lock->forker_.load(std::memory_order_relaxed), pthread_self()) != 0;
      locked_ = !passes_ && lock->process_.load(std::memory_order_relaxed) == getpid();
      if (locked_) locked_ = lock_->Enter();
    }
    ~Guard() {
      if (locked_) pthread_mutex_unlock(&lock_->mutex_);
    }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    bool entered() const { return passes_ || locked_; }

   private:
    ForkLock* const lock_;
    bool passes_;
    bool locked_;
  };

  ForkLock() = default;
  ForkLock(const ForkLock&) = delete;
  ForkLock& operator=(const ForkLock&) = delete;

  // Parent, forking thread.
  void LockForFork() {
    pthread_mutex_lock(&mutex_);
    given_up_.store(false, std::memory_order_relaxed);
    forker_.store(pthread_self(), std::memory_order_relaxed);
  }
  // The same thread, in the parent and in the child.
  void UnlockAfterFork() {
    process_.store(getpid(), std::memory_order_relaxed);
    forker_.store(0, std::memory_order_relaxed);
    pthread_mutex_unlock(&mutex_);
  }

 private:
  static constexpr long kPatienceNs = 500 * 1000 * 1000;
  static constexpr long kSecondNs = 1000 * 1000 * 1000;

  // Not inline: of what is, children run a few instructions (every_child.h).
  __attribute__((noinline)) bool Enter() {
    if (pthread_mutex_trylock(&mutex_) == 0) return true;
    const SignalsBlocked blocked;
    for (;;) {
      struct timespec deadline;
      clock_gettime(CLOCK_MONOTONIC, &deadline);
      deadline.tv_nsec += kPatienceNs;
      if (deadline.tv_nsec >= kSecondNs) {
        deadline.tv_nsec -= kSecondNs;
        ++deadline.tv_sec;
      }
      // Of this fork: who gave up the one before may say so after its end.
      if (given_up_.load(std::memory_order_relaxed) && forker_.load(std::memory_order_relaxed) != 0) return false;
      if (pthread_mutex_clocklock(&mutex_, CLOCK_MONOTONIC, &deadline) == 0) return true;
      // Else it is somebody in the middle of a few instructions, and this is a busy machine.
      if (forker_.load(std::memory_order_relaxed) != 0) given_up_.store(true, std::memory_order_relaxed);
    }
  }

  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  std::atomic<pthread_t> forker_{0};   // while it forks; 0 is nobody's
  std::atomic<bool> given_up_{false};  // by somebody, for as long as that fork takes
  std::atomic<pid_t> process_{getpid()};
};

}  // namespace atfork

#endif  // ATFORK_POSIX_FORK_LOCK_H_

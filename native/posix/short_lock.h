// short_lock.h - a mutex for a few instructions, that a fork does not wait for and a child starts anew.
//
// Nobody makes a system call in which a thread may be parked, or calls anything of another library, while holding it.
// So a thread of the runtime that is stopped for a fork never holds it (runtime/park_position: none is stopped inside
// this addon's code), and what it guards is to be put in order by the child, whose copy may have been taken in the
// middle of it: Reset.
//
// Runs in:  any thread, either side of a fork. Async-signal-safe, unless the signal came while it was held.
// Calls:    futex(2), with contention. Allocates: no.
#ifndef ATFORK_POSIX_SHORT_LOCK_H_
#define ATFORK_POSIX_SHORT_LOCK_H_

#include <atomic>
#include <cstdint>

#include "posix/futex.h"

namespace atfork {

class ShortLock {
 public:
  class Guard {
   public:
    explicit Guard(ShortLock* lock) : lock_(lock) { lock->Lock(); }
    ~Guard() { lock_->Unlock(); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    ShortLock* const lock_;
  };

  constexpr ShortLock() = default;
  ShortLock(const ShortLock&) = delete;
  ShortLock& operator=(const ShortLock&) = delete;

  void Lock() {
    uint32_t state = kFree;
    if (state_.compare_exchange_strong(state, kHeld, std::memory_order_acquire, std::memory_order_relaxed)) return;
    for (int i = 0; i < kSpins; ++i) {
      Relax();
      state = kFree;
      if (state_.load(std::memory_order_relaxed) == kFree &&
          state_.compare_exchange_strong(state, kHeld, std::memory_order_acquire, std::memory_order_relaxed)) {
        return;
      }
    }
    while (state_.exchange(kContended, std::memory_order_acquire) != kFree) {
      // Who is to wake us may be stopped for a fork of this very thread when it has unlocked and not yet woken.
      static_cast<void>(FutexWait(&state_, kContended, MonotonicNanos() + kLongestSleep));
    }
  }
  void Unlock() {
    if (state_.exchange(kFree, std::memory_order_release) == kContended) FutexWake(&state_, 1);
  }
  // For who spins: a processor that shares its core is not in the way.
  static void Relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  // The child, on its only thread: who held it is not there.
  void Reset() { state_.store(kFree, std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kFree = 0;
  static constexpr uint32_t kHeld = 1;
  static constexpr uint32_t kContended = 2;  // held, and somebody may be asleep
  static constexpr int kSpins = 100;
  static constexpr int64_t kLongestSleep = 1000 * 1000;  // ns

  std::atomic<uint32_t> state_{kFree};
};

}  // namespace atfork

#endif  // ATFORK_POSIX_SHORT_LOCK_H_

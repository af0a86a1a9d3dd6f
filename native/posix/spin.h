// spin.h - looks at memory again and again for a moment, before whoever waits for it to change falls asleep.
//
// Runs in:  any thread. Calls: clock_gettime(2); sched_getaffinity(2) when it is loaded. Allocates: no.
#ifndef ATFORK_POSIX_SPIN_H_
#define ATFORK_POSIX_SPIN_H_

#include <algorithm>
#include <cstdint>

#include "posix/futex.h"
#include "posix/short_lock.h"

namespace atfork {

// Where there is but one, nothing changes while a thread spins.
bool HasSeveralProcessors();

// Nanoseconds: many times a short section of a lock, less than to fall asleep and be woken takes.
inline constexpr int64_t kSpin = 10 * 1000;

// Whether `done()` came true within kSpin. Asks ever more rarely, so that who works there has its cache for itself.
template <typename Done>
bool SpinUntil(Done done) {
  if (!HasSeveralProcessors()) return false;
  const int64_t end = MonotonicNanos() + kSpin;
  int pauses = 8;
  do {
    for (int i = 0; i < pauses; ++i) ShortLock::Relax();
    if (done()) return true;
    pauses = std::min(2 * pauses, 64);
  } while (MonotonicNanos() < end);
  return false;
}

}  // namespace atfork

#endif  // ATFORK_POSIX_SPIN_H_

// futex.h - sleep until a word of memory changes. See futex.cc.
#ifndef ATFORK_POSIX_FUTEX_H_
#define ATFORK_POSIX_FUTEX_H_

#include <atomic>
#include <cstdint>

namespace atfork {

// Deadlines are nanoseconds of CLOCK_MONOTONIC; this one never comes.
inline constexpr int64_t kNoDeadline = INT64_MAX;

int64_t MonotonicNanos();

// Now + `timeout` milliseconds. Infinity, or what does not fit, is kNoDeadline.
int64_t DeadlineAfterMs(double timeout);

// Who sleeps on a word: threads of this process; or of any that has mapped the page that it lies in.
enum class FutexScope { kProcess, kShared };

// Sleeps while `word` is `expected`. False: the deadline came. True: anything else, a signal included; look again.
[[nodiscard]] bool FutexWait(std::atomic<uint32_t>* word, uint32_t expected, int64_t deadline,
                             FutexScope scope = FutexScope::kProcess);

// Wakes at most `count` of those that sleep on `word`; how many that were.
int FutexWake(std::atomic<uint32_t>* word, int count, FutexScope scope = FutexScope::kProcess);

}  // namespace atfork

#endif  // ATFORK_POSIX_FUTEX_H_

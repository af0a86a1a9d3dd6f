// futex.cc - sleep until a word of memory changes.
// Runs in:  any thread, either side of a fork; also in at-fork handlers, hence errno is kept. Async-signal-safe.
// Calls:    futex(2) FUTEX_WAIT_BITSET, since only that takes an absolute deadline, of CLOCK_MONOTONIC; FUTEX_WAKE;
//           clock_gettime(2). EINTR is a wake-up like any other: the caller looks at its word again.
// Allocates: no.
#include "posix/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "posix/every_child.h"

namespace atfork {
namespace {

constexpr int64_t kNanosPerSecond = 1000 * 1000 * 1000;
constexpr double kNanosPerMs = 1e6;

static_assert(sizeof(time_t) == 8, "futex(2) with a 32-bit time_t is another system call");
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t), "the kernel compares the plain word");

int Command(int command, FutexScope scope) {
  return scope == FutexScope::kProcess ? command | FUTEX_PRIVATE_FLAG : command;
}

}  // namespace

int64_t MonotonicNanos() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNanosPerSecond + now.tv_nsec;
}

int64_t DeadlineAfterMs(double timeout) {
  const double deadline = static_cast<double>(MonotonicNanos()) + timeout * kNanosPerMs;
  return deadline < static_cast<double>(kNoDeadline) ? static_cast<int64_t>(deadline) : kNoDeadline;
}

bool FutexWait(std::atomic<uint32_t>* word, uint32_t expected, int64_t deadline, FutexScope scope) {
  const int saved = errno;
  const int64_t nanos = std::max<int64_t>(deadline, 0);  // a negative one would be EINVAL, not "over"
  const timespec until = {nanos / kNanosPerSecond, nanos % kNanosPerSecond};
  const long result = syscall(SYS_futex, word, Command(FUTEX_WAIT_BITSET, scope), expected,
                              deadline == kNoDeadline ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
  const bool timed_out = result != 0 && errno == ETIMEDOUT;
  errno = saved;
  return !timed_out;
}

ATFORK_IN_EVERY_CHILD int FutexWake(std::atomic<uint32_t>* word, int count, FutexScope scope) {
  const int saved = errno;
  const long woken = syscall(SYS_futex, word, Command(FUTEX_WAKE, scope), count, nullptr, nullptr, 0);
  errno = saved;
  return woken > 0 ? static_cast<int>(woken) : 0;
}

}  // namespace atfork

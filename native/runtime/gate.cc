// gate.cc - see gate.h.
// Runs in:  PassGate on any thread that calls through the runtime's import slots; OpenGate is async-signal-safe.
// Calls:    futex(2), getpid(2).
#include "runtime/gate.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>

#include "posix/futex.h"
#include "runtime/thread_roles.h"

namespace atfork::runtime {
namespace {

// Process-wide: one fork at a time. A futex: 0 when it is open, else the process that has closed it. A child that
// another library forks meanwhile finds it closed, and nobody there would open it.
std::atomic<uint32_t> closer{0};

}  // namespace

void CloseGate() { closer.store(static_cast<uint32_t>(getpid()), std::memory_order_relaxed); }

void OpenGate() {
  closer.store(0, std::memory_order_relaxed);
  FutexWake(&closer, INT_MAX);
}

void PassGate() {
  if (closer.load(std::memory_order_relaxed) == 0) return;
  const int saved = errno;  // the caller's call has set it
  const auto self = static_cast<uint32_t>(getpid());
  if (IsRuntimeThread()) {
    // Like a condition variable's: park_position lets a thread be parked in that wait.
    while (closer.load(std::memory_order_relaxed) == self) {
      syscall(SYS_futex, &closer, FUTEX_WAIT_BITSET_PRIVATE, self, nullptr, nullptr, FUTEX_BITSET_MATCH_ANY);
    }
  }
  errno = saved;
}

}  // namespace atfork::runtime

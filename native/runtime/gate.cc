// gate.cc - see gate.h.
// Runs in:  PassGate on any thread of the runtime, or of an addon that uses libuv; the rest on the main thread.
// Calls:    futex(2), getpid(2), gettid(2).
#include "runtime/gate.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>

#include "posix/futex.h"

namespace atfork::runtime {
namespace {

enum State : uint32_t { kOpen, kClosed };

// Process-wide: one fork at a time. A futex.
std::atomic<uint32_t> gate{kOpen};

bool OnMainThread() { return syscall(SYS_gettid) == getpid(); }

}  // namespace

void CloseGate() { gate.store(kClosed, std::memory_order_relaxed); }

void OpenGate() {
  gate.store(kOpen, std::memory_order_relaxed);
  FutexWake(&gate, INT_MAX);
}

void PassGate() {
  if (gate.load(std::memory_order_relaxed) == kOpen || OnMainThread()) return;
  const int saved = errno;  // the caller's call has set it
  // A wait like a condition variable's, which park_position lets a thread be parked in.
  while (gate.load(std::memory_order_relaxed) == kClosed) {
    syscall(SYS_futex, &gate, FUTEX_WAIT_BITSET_PRIVATE, kClosed, nullptr, nullptr, FUTEX_BITSET_MATCH_ANY);
  }
  errno = saved;
}

}  // namespace atfork::runtime

// fresh_random.cc - see fresh_random.h.
// Runs in:  any thread, parent and child.
// Calls:    getrandom(2), which may be interrupted where it is asked for more than 256 bytes.
#include "posix/fresh_random.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

namespace atfork {

bool FreshRandom(void* into, size_t bytes) {
  auto* next = static_cast<unsigned char*>(into);
  while (bytes > 0) {
    const ssize_t got = getrandom(next, bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    next += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

}  // namespace atfork

// fresh_random.cc - see fresh_random.h.
// Runs in:  any thread, parent and child.
// Calls:    getrandom(2), which never gives less than it was asked for up to 256 bytes; EINTR: retried.
#include "posix/fresh_random.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

namespace atfork {

bool FreshRandom(void* into, size_t bytes) {
  ssize_t got;
  do {
    got = getrandom(into, bytes, 0);
  } while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(bytes);
}

}  // namespace atfork

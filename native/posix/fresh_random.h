// fresh_random.h - random bytes that no other process has.
#ifndef ATFORK_POSIX_FRESH_RANDOM_H_
#define ATFORK_POSIX_FRESH_RANDOM_H_

#include <cstddef>

namespace atfork {

// Fills `bytes` with getrandom(2)'s: straight from the kernel, which nothing drawn ahead can come before.
// Async-signal-safe. False, and errno, only where the kernel has no such call or seccomp(2) denies it.
bool FreshRandom(void* into, size_t bytes);

}  // namespace atfork

#endif  // ATFORK_POSIX_FRESH_RANDOM_H_

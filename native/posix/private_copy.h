// private_copy.h - puts a private copy in the place of shared memory.
#ifndef ATFORK_POSIX_PRIVATE_COPY_H_
#define ATFORK_POSIX_PRIVATE_COPY_H_

#include <cstddef>

namespace atfork {

// `begin` and `bytes` are whole pages, which stay readable and writable. What has no memory behind it (past the end of
// a file) becomes zeros. No allocation, no lock: fit for a forked child. 0 or an errno, and then all is as before.
int ReplaceByPrivateCopy(void* begin, size_t bytes);

}  // namespace atfork

#endif  // ATFORK_POSIX_PRIVATE_COPY_H_

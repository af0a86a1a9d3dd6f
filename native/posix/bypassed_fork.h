// bypassed_fork.h - whether this process was made past the at-fork handlers, by _Fork(3) or by clone(2) itself. See
// bypassed_fork.cc.
#ifndef ATFORK_POSIX_BYPASSED_FORK_H_
#define ATFORK_POSIX_BYPASSED_FORK_H_

#include <atomic>
#include <cstdint>

namespace atfork {

// 1 in every process that loaded this library or was forked with its handlers. It lies on a page of its own.
using ForkMark = std::atomic<uint32_t>;

// Set, and wiped by the kernel in every child; null where it cannot do that. Stays.
ForkMark* MakeForkMark();

// Such a process's locks are as its parent's threads left them, and what other threads held there nobody releases here.
// False where it is not known: on such a kernel, and in a child that was made inside of an at-fork handler. A child of
// fork(2) that such a process makes is a whole one again.
bool IsBypassedFork();

}  // namespace atfork

#endif  // ATFORK_POSIX_BYPASSED_FORK_H_

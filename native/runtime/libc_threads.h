// libc_threads.h - glibc's bookkeeping of threads, carried over a fork.
//
// fork(3) takes every other thread for dead: it puts their stacks on the cache for new threads, zeroes their ids and
// clears their thread-specific data. For those that are brought back this is undone. Those that stay behind, and those
// that had ended and were not joined yet, are taken off the cache too and marked ended: otherwise a new thread could be
// given the struct pthread that somebody is going to join, and the wrong thread would be waited for.
#ifndef ATFORK_RUNTIME_LIBC_THREADS_H_
#define ATFORK_RUNTIME_LIBC_THREADS_H_

#include <sys/types.h>

#include <cstdint>

#include "posix/result.h"
#include "runtime/glibc_layout.h"

namespace atfork::runtime {

// Forking thread: struct pthread of the thread that libc knows by this id, 0 when there is none. For a thread that has
// only just been started: until it has run a little, FindDescriptor does not find it.
uintptr_t FindLibcThread(const GlibcLayout& layout, pid_t tid);

// Parent, forking thread, the runtime's threads parked: notes which threads glibc knows. Threads that the runtime did
// not start may come and go meanwhile; the lists are read until they hold still.
Status NoteLibcThreads(const GlibcLayout& layout);

// Parent: saves what fork(3) clears of a thread that is parked, and was noted.
Status SaveLibcThread(const GlibcLayout& layout, uintptr_t descriptor);

// Child, before any other thread runs: puts back what was saved, and takes all noted stacks off the cache. No
// allocation. False when a saved thread's stack is somebody else's by now: an at-fork handler of another library has
// started a thread on it. The child must not be used then.
[[nodiscard]] bool RestoreLibcThreads(const GlibcLayout& layout);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_LIBC_THREADS_H_

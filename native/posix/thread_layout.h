// thread_layout.h - from a thread's id to what libc knows of it.
//
// The kernel does not know what code a thread was started to run. libc does: pthread_create keeps it in the thread's
// `struct pthread`, and the way there from a thread id leads through the robust list (see thread_layout.cc).
//
// Thread: any. All but LearnThreadLayout are async-signal-safe. Another thread may end at any moment and its memory be
// unmapped: that is an absence here, never a crash.
#ifndef ATFORK_POSIX_THREAD_LAYOUT_H_
#define ATFORK_POSIX_THREAD_LAYOUT_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "posix/result.h"

namespace atfork {

// Where libc's `struct pthread` keeps what this file reads: offsets in bytes.
struct ThreadLayout {
  ptrdiff_t robust_head;    // the list head that each thread gave to set_robust_list(2)
  ptrdiff_t start_routine;  // the function that pthread_create was given
};

// Learns it on the calling thread, once per process. Errors: ERR_ATFORK_UNSUPPORTED, naming what is missing.
Result<ThreadLayout> LearnThreadLayout();

// struct pthread of thread `tid` of this process. 0 when unknown, or when the thread has ended.
uintptr_t FindDescriptor(const ThreadLayout& layout, pid_t tid);

// What the thread with this struct was started to run. 0 when unknown, or when the thread has ended.
uintptr_t StartRoutineOf(const ThreadLayout& layout, uintptr_t descriptor);

// Copies this process's own memory: false, and errno, where that is not mapped.
bool ReadOwnMemory(uintptr_t address, void* into, size_t length);

}  // namespace atfork

#endif  // ATFORK_POSIX_THREAD_LAYOUT_H_

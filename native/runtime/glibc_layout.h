// glibc_layout.h - where glibc keeps what it knows of a thread.
//
// Bringing a thread back to life after fork (park_signal, child/thread_restart) needs a few fields of glibc's private
// `struct pthread` and its lists of thread stacks. Nothing is hard-coded: the offsets come from the descriptors that
// glibc has for debuggers (posix/libc_symbols), the rest is learned on a thread that is started for that. Every
// assumption is checked there; one that does not hold makes fork() refuse and name it.
#ifndef ATFORK_RUNTIME_GLIBC_LAYOUT_H_
#define ATFORK_RUNTIME_GLIBC_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "posix/result.h"
#include "posix/thread_layout.h"

namespace atfork::runtime {

// list_t of glibc's include/list.h: the links of a circular list.
struct ListNode {
  ListNode* next;
  ListNode* prev;
};

struct GlibcLayout {
  ThreadLayout thread;
  // Offsets into struct pthread, in bytes.
  uint32_t list;         // links into stack_used or stack_user
  uint32_t tid;          // the kernel's thread id; up to 2.41 zero once the thread ended
  uint32_t specific;     // KeyData* [kKeyBlocks]: the blocks of thread-specific data
  uint32_t cleared_tid;  // the word that the kernel zeroes and wakes at thread end: `tid` up to 2.41, `joinstate` later
  uint32_t size;         // sizeof(struct pthread)
  // struct pthread begins this far below (arm64) or at (x86-64) the thread pointer.
  ptrdiff_t thread_pointer_bias;
  // Heads of the lists of threads whose stacks glibc and the application allocated.
  ListNode* stack_used;
  ListNode* stack_user;
  // rseq(2): where each thread's area lies from the thread pointer (since 2.41 below it); length 0 when glibc did not
  // register one.
  ptrdiff_t rseq_offset;
  uint32_t rseq_length;
};

// Numbers of glibc's two-level table of thread-specific data (pthreadP.h; the product is PTHREAD_KEYS_MAX, 1024).
inline constexpr uint32_t kKeyBlocks = 32;
inline constexpr uint32_t kKeysPerBlock = 32;
struct KeyData {
  uintptr_t seq;
  void* data;
};

// Finds and checks the layout. Main thread, once, at load. The error's detail names the assumption that failed.
Result<GlibcLayout> LoadGlibcLayout();

// struct pthread of the calling thread. Async-signal-safe.
uintptr_t OwnDescriptor(const GlibcLayout& layout);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_GLIBC_LAYOUT_H_

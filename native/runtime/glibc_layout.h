// glibc_layout.h - where glibc keeps what it knows of a thread.
//
// Bringing a thread back to life after fork (thread_park, child/thread_restart) needs a few fields of glibc's private
// `struct pthread` and its lists of thread stacks. Nothing is hard-coded: the offsets come from the descriptors that
// glibc exports for debuggers (nptl_db/structs.def), the rest is learned on the calling thread. Every assumption is
// checked at load; one that does not hold makes fork() refuse and name it.
//
// Thread: any, after Load(); the reads of other threads' memory go through process_vm_readv(2), since the thread that
// owns it may end meanwhile.
#ifndef ATFORK_RUNTIME_GLIBC_LAYOUT_H_
#define ATFORK_RUNTIME_GLIBC_LAYOUT_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "posix/result.h"

namespace atfork::runtime {

// list_t of glibc's include/list.h: the links of a circular list.
struct ListNode {
  ListNode* next;
  ListNode* prev;
};

struct GlibcLayout {
  // Offsets into struct pthread, in bytes.
  uint32_t list;           // links into stack_used or stack_user
  uint32_t tid;            // the kernel's thread id, 0 once the thread ended
  uint32_t specific;       // pthread_key_data* [32]: the blocks of thread-specific data
  uint32_t start_routine;  // what pthread_create was given
  uint32_t robust_head;    // what set_robust_list(2) was given
  uint32_t cleared_tid;  // the word that the kernel zeroes and wakes at thread end: `tid` up to 2.41, `joinstate` later
  uint32_t size;         // sizeof(struct pthread)
  // struct pthread begins this far below (arm64) or at (x86-64) the thread pointer.
  ptrdiff_t thread_pointer_bias;
  // Heads of the lists of threads whose stacks glibc and the application allocated.
  ListNode* stack_used;
  ListNode* stack_user;
  // rseq(2): where each thread's area lies from the thread pointer; length 0 when glibc did not register one.
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

// struct pthread of thread `tid` of this process, through get_robust_list(2); 0 when the thread is gone.
uintptr_t DescriptorOf(const GlibcLayout& layout, pid_t tid);

// Reads own memory that may be unmapped at any moment: false instead of SIGSEGV. Async-signal-safe.
bool ReadOwnMemory(uintptr_t address, void* into, size_t length);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_GLIBC_LAYOUT_H_

// thread_restart.h - gives a parked thread of the parent a kernel thread in the child.
//
// CHILD ZONE: runs in the child of fork(2), before its first JavaScript. Async-signal-safe calls only; no allocation,
// no locks, no C++ runtime. scripts/check-child-zone.mjs checks the undefined symbols of these objects.
//
// What a thread is made of survives fork(2) in memory: its stack, its TLS, the signal frame of the handler it was
// parked in. Only the kernel's part is gone. A new kernel thread with the same thread pointer jumps into the parked
// handler, which returns: the thread goes on as if nothing had happened.
#ifndef ATFORK_CHILD_THREAD_RESTART_H_
#define ATFORK_CHILD_THREAD_RESTART_H_

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

namespace atfork::child {

// All that is needed to bring one thread back. Filled in by the thread itself in the parent, while it parks.
struct RestartRecord {
  jmp_buf context;           // of the parked signal handler (_setjmp: no signal mask)
  uintptr_t thread_pointer;  // what CLONE_SETTLS takes
  int* cleared_tid;          // set_tid_address(2): zeroed and woken at thread end, for joiners
  void* robust_head;         // set_robust_list(2)
  size_t robust_length;
  void* rseq_area;  // rseq(2), null when none is registered
  uint32_t rseq_length;
  char name[16];      // PR_SET_NAME
  bool confined;      // only harmless system calls from here on (see confine.h)
  bool held;          // do not run before Release (see hold.h)
  bool until_joined;  // a Worker's own Worker (see hold.h)
  uint32_t go;        // futex: 0 while held
  char* stack_top;
  pid_t real_tid;  // the forking thread: the kernel's id of the new thread; struct pthread keeps the old one
};

// A thread that was brought back runs on this many bytes until it stands on its own stack again.
constexpr size_t kRestartStackBytes = 32 * 1024;

// Starts the kernel thread of `record`. All signals must be blocked: the thread inherits that, and its handler's return
// restores its own mask. 0, or the errno of clone(2).
int RestartThread(RestartRecord* record);

// Whether the kernel knows `area` as the calling thread's, with this length and libc's signature: the assumption behind
// `rseq_area`. Any thread, either side.
bool IsRseqRegistered(void* area, uint32_t length);

}  // namespace atfork::child

#endif  // ATFORK_CHILD_THREAD_RESTART_H_

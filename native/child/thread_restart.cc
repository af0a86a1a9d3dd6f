// thread_restart.cc - see thread_restart.h.
// Runs in:  the child of fork(2): RestartThread on the forking thread, Resume on each new one.
// Calls:    clone(2), set_robust_list(2), rseq(2), prctl(2) PR_SET_NAME, _longjmp.
// Returns:  errno values; Resume never returns.
// Rests on: sysdeps/unix/sysv/linux/rseq-internal.h of glibc 2.36, 2.41 and 2.43; kernel/rseq.c of Linux.
#undef _FORTIFY_SOURCE  // ____longjmp_chk takes a jump to another stack for stack corruption and aborts
#include "child/thread_restart.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child/confine.h"
#include "child/hold.h"

namespace atfork::child {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kRseqSignature = 0x53053053;  // RSEQ_SIG of glibc's bits/rseq.h
#elif defined(__aarch64__)
constexpr uint32_t kRseqSignature = 0xd428bc00;
#endif
// struct rseq begins with cpu_id_start and cpu_id, all that is known of it here. What cpu_id says before the kernel has
// set it:
constexpr int32_t kRseqUninitialized = -1;
constexpr int32_t kRseqRegistrationFailed = -2;

// As libc does it for a new thread. In the area is still what the kernel wrote for the parent's: a kernel that looks at
// what it is given would not take it.
void RegisterRseq(void* area, uint32_t length) {
  memset(area, 0, length);
  volatile int32_t* cpu_id = static_cast<int32_t*>(area) + 1;
  *cpu_id = kRseqUninitialized;
  // On failure sched_getcpu(3) asks the kernel instead of reading a stale number.
  if (syscall(SYS_rseq, area, length, 0, kRseqSignature) != 0) *cpu_id = kRseqRegistrationFailed;
}

int Resume(void* argument) {
  auto* record = static_cast<RestartRecord*>(argument);
  syscall(SYS_set_robust_list, record->robust_head, record->robust_length);
  if (record->rseq_area != nullptr) RegisterRseq(record->rseq_area, record->rseq_length);
  prctl(PR_SET_NAME, record->name);
  if (record->held) Hold(record);
  // It was tried at load; running unconfined could do in the child what the Worker does in the parent.
  if (record->confined && Confine() != 0) _exit(kChildFailure);
  _longjmp(record->context, 1);
}

}  // namespace

int RestartThread(RestartRecord* record) {
  // No CLONE_PARENT_SETTID: the `tid` field of struct pthread keeps the parent's number, since recursive mutexes hold
  // it as their owner. What is written at thread end is what glibc's joiners wait for.
  const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
                    CLONE_CHILD_CLEARTID;
  const int tid = clone(Resume, record->stack_top, flags, record, nullptr,
                        reinterpret_cast<void*>(record->thread_pointer), record->cleared_tid);
  if (tid < 0) return errno;
  record->real_tid = tid;
  return 0;
}

bool IsRseqRegistered(void* area, uint32_t length) {
  // The kernel does it but once: EBUSY if all is as it was then, EINVAL if the area or the length is not.
  return syscall(SYS_rseq, area, length, 0, kRseqSignature) == -1 && errno == EBUSY;
}

}  // namespace atfork::child

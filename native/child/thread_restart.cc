// thread_restart.cc - see thread_restart.h.
// Runs in:  the child of fork(2): RestartThread on the forking thread, Resume on each new one.
// Calls:    clone(2), set_robust_list(2), rseq(2), prctl(2) PR_SET_NAME, _longjmp.
// Returns:  errno values; Resume never returns.
#undef _FORTIFY_SOURCE  // ____longjmp_chk takes a jump to another stack for stack corruption and aborts
#include "child/thread_restart.h"

#include <errno.h>
#include <sched.h>
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
// struct rseq: cpu_id_start, cpu_id.
constexpr int32_t kRseqRegistrationFailed = -2;

int Resume(void* argument) {
  auto* record = static_cast<RestartRecord*>(argument);
  record->real_tid = static_cast<pid_t>(syscall(SYS_gettid));
  syscall(SYS_set_robust_list, record->robust_head, record->robust_length);
  if (record->rseq_area != nullptr &&
      syscall(SYS_rseq, record->rseq_area, record->rseq_length, 0, kRseqSignature) != 0) {
    // sched_getcpu(3) then asks the kernel instead of reading a stale number.
    static_cast<volatile int32_t*>(record->rseq_area)[1] = kRseqRegistrationFailed;
  }
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
  return tid < 0 ? errno : 0;
}

}  // namespace atfork::child

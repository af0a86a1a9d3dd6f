// park_signal.cc - see park_signal.h.
// Runs in:  OnParkSignal in the handler of the thread to be parked, in the parent; from the return of _setjmp with 1
// on,
//           in the child, on the thread that was brought back. The rest on the forking thread.
// Calls:    rt_sigaction(2), rt_tgsigqueueinfo(2), futex(2), sigreturn; in the handler only async-signal-safe ones.
// Memory:   `state` orders everything: the handler's writes before its release store of kParked are seen by the forking
//           thread, and so by the child, whose memory is a copy taken after that.
#undef _FORTIFY_SOURCE  // see child/thread_restart.cc
#include "runtime/park_signal.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "posix/futex.h"
#include "runtime/fork_verdict.h"
#include "runtime/gate.h"
#include "runtime/worker_aborts.h"

namespace atfork::runtime {

ParkSignal park_signal;

namespace {

ParkedThread pool[kMaxParkedThreads];

bool IsPoolMember(const ParkedThread* thread) {
  const auto offset = reinterpret_cast<uintptr_t>(thread) - reinterpret_cast<uintptr_t>(pool);
  return offset < sizeof pool && offset % sizeof(ParkedThread) == 0;
}

constexpr int kSignal = 32;

// A parked thread waits for the forking thread. Should that be stuck in fork(3), on a lock that this thread holds
// after all, the fork is given up rather than hang: far longer than any fork takes.
constexpr double kOversleepMs = 30 * 1000;

// The kernel's struct sigaction (not libc's): sigaction(3) refuses signal 32.
struct KernelSigaction {
  void (*handler)(int, siginfo_t*, void*);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};
static_assert(sizeof(KernelSigaction) == 32);  // of x86-64 and arm64, which have a restorer

KernelSigaction previous;

#if defined(__x86_64__)
constexpr unsigned long kSaRestorer = 0x04000000;
// Debuggers and unwinders know a signal frame by these two instructions.
extern "C" void atfork_restore_rt();
asm(".text\n.type atfork_restore_rt,@function\n.hidden atfork_restore_rt\natfork_restore_rt:\n"
    "  mov $15, %rax\n  syscall\n.size atfork_restore_rt, .-atfork_restore_rt\n");
#endif

long Futex(std::atomic<uint32_t>* word, int operation, uint32_t value, const struct timespec* timeout) {
  return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout, nullptr, FUTEX_BITSET_MATCH_ANY);
}

// The forking thread sleeps until nobody is left: one wake-up for all.
void CountAnswer() {
  if (park_signal.unanswered.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    Futex(&park_signal.unanswered, FUTEX_WAKE, 1, nullptr);
  }
}

// False when the question was withdrawn meanwhile: the thread then goes on.
bool Answer(ParkedThread* thread, ParkState state) {
  ParkState asked = ParkState::kAsked;
  if (!thread->state.compare_exchange_strong(asked, state)) return false;
  CountAnswer();
  return true;
}

void WaitForRelease(ParkedThread* thread) {
  // By the time that it gives up, there may be another: the process may have been stopped meanwhile.
  const uint64_t fork = ForkNumber();
  int64_t deadline = DeadlineAfterMs(kOversleepMs);
  for (;;) {
    // A release after this has moved on from it.
    const uint32_t round = park_signal.round.load(std::memory_order_acquire);
    if (thread->state.load(std::memory_order_acquire) != ParkState::kParked) break;
    if (FutexWait(&park_signal.round, round, deadline)) continue;
    deadline = kNoDeadline;
    if (!GiveUpFork(fork)) continue;
    // Who waits there is not parked, and would be waited for.
    OpenGate();
    thread->state.store(ParkState::kReleased);
  }
  Futex(&park_signal.round, FUTEX_WAKE, 2, nullptr);  // see WakeAllReleased
}

// Saves what a new kernel thread needs besides the registers, which the signal frame holds.
void FillRestartRecord(ParkedThread* thread) {
  const GlibcLayout& layout = *park_signal.layout;
  child::RestartRecord* record = &thread->restart;
  const uintptr_t self = OwnDescriptor(layout);
  record->thread_pointer = self + layout.thread_pointer_bias;
  record->cleared_tid = reinterpret_cast<int*>(self + layout.cleared_tid);
  record->robust_head = reinterpret_cast<void*>(self + static_cast<uintptr_t>(layout.thread.robust_head));
  record->robust_length = 3 * sizeof(void*);  // struct robust_list_head
  record->rseq_area = nullptr;
  if (layout.rseq_length != 0) {
    auto* area = reinterpret_cast<int32_t*>(record->thread_pointer + layout.rseq_offset);
    // cpu_id is negative when glibc could not register this thread.
    if (area[1] >= 0) record->rseq_area = area;
    record->rseq_length = layout.rseq_length;
  }
  prctl(PR_GET_NAME, record->name);
}

constexpr uint64_t Bit(int signal) { return uint64_t{1} << (signal - 1); }

// All but what a thread brings upon itself, and libc's own.
constexpr uint64_t kForNobodyElse = ~(Bit(SIGSEGV) | Bit(SIGBUS) | Bit(SIGFPE) | Bit(SIGILL) | Bit(SIGTRAP) |
                                      Bit(SIGSYS) | Bit(kSignal) | Bit(kSignal + 1));

void Park(ParkedThread* thread, ucontext_t* context) {
  if (thread->look) {
    thread->call = InterruptedCall(*context);
    Answer(thread, ParkState::kRefused);
    return;
  }
  if (thread->task != nullptr) {
    thread->task(thread->task_argument);
    Answer(thread, ParkState::kRefused);
    return;
  }
  thread->position = JudgePosition(*context, thread->role, park_signal.modules);
  if (!thread->position.may_park) {
    Answer(thread, ParkState::kRefused);
    return;
  }
  FillRestartRecord(thread);
  if (_setjmp(thread->restart.context) == 0) {
    if (Answer(thread, ParkState::kParked)) WaitForRelease(thread);
    return;
  }
  // In the child, brought back. Returning from the handler restores registers and signal mask: the thread goes on.
  // glibc's way out of a thread would trip over the malloc arena that fork detached: our key's destructor ends it.
  pthread_setspecific(park_signal.exit_key, kFirstExitRound);
  // A signal that comes to the process is for the threads that go on: a confined one could not hand it to its loop.
  if (thread->restart.confined) memcpy(&context->uc_sigmask, &kForNobodyElse, sizeof kForNobodyElse);
  if (thread->role == ThreadRole::kPoolThread) FailInterruptedCall(context, ECANCELED);
  thread->state.store(ParkState::kReleased);
}

void OnParkSignal(int number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  auto* thread = static_cast<ParkedThread*>(info->si_value.sival_ptr);
  // The sender's id can be forged by a process of the same user (rt_tgsigqueueinfo(2)), so the pointer is checked too.
  const bool ours = info->si_code == SI_QUEUE && info->si_pid == getpid() && IsPoolMember(thread);
  if (!ours) {
    if (previous.handler != nullptr && reinterpret_cast<uintptr_t>(previous.handler) != 1) {
      previous.handler(number, info, context);
    }
  } else {
    // Else it comes late: the question was withdrawn.
    if (thread->state.load(std::memory_order_acquire) == ParkState::kAsked) {
      Park(thread, static_cast<ucontext_t*>(context));
    }
    // In the child only is it restarting here.
    const bool ends = thread->position.ends && thread->restarting.load(std::memory_order_relaxed);
    thread->signals.fetch_sub(1);
    thread->restarting.store(false, std::memory_order_release);
    if (ends) EndConfinedThread();
  }
  errno = saved_errno;
}

}  // namespace

ParkedThread* ParkPool() { return pool; }

int InstallParkHandler() {
  KernelSigaction current;
  if (syscall(SYS_rt_sigaction, kSignal, nullptr, &current, sizeof current.mask) != 0) return errno;
  if (current.handler == OnParkSignal) return 0;
  previous = current;
  KernelSigaction ours;
  memset(&ours, 0, sizeof ours);
  ours.handler = OnParkSignal;
  // Without SA_ONSTACK: the frame must lie on the thread's own stack, which the child inherits as it is.
  ours.flags = SA_SIGINFO | SA_RESTART;
#if defined(__x86_64__)
  ours.flags |= kSaRestorer;
  ours.restorer = atfork_restore_rt;
#endif
  ours.mask = ~uint64_t{0};
  return syscall(SYS_rt_sigaction, kSignal, &ours, nullptr, sizeof ours.mask) == 0 ? 0 : errno;
}

int AskToPark(ParkedThread* thread) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = kSignal;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_ptr = thread;
  park_signal.unanswered.fetch_add(1);
  thread->signals.fetch_add(1);
  thread->state.store(ParkState::kAsked, std::memory_order_release);
  if (syscall(SYS_rt_tgsigqueueinfo, info.si_pid, thread->tid, kSignal, &info) == 0) return 0;
  const int error = errno;
  thread->signals.fetch_sub(1);
  GiveUpOn(thread);
  return error;
}

void GiveUpOn(ParkedThread* thread) { Answer(thread, ParkState::kGone); }

void ReleaseParked(ParkedThread* thread) {
  if (thread->state.exchange(ParkState::kReleased) == ParkState::kAsked) CountAnswer();
}

void WakeReleased() {
  park_signal.round.fetch_add(1, std::memory_order_release);
  Futex(&park_signal.round, FUTEX_WAKE, INT_MAX, nullptr);
}

void WakeAllReleased() {
  park_signal.round.fetch_add(1, std::memory_order_release);
  Futex(&park_signal.round, FUTEX_WAKE, 1, nullptr);
}

void AwaitAnswers(int64_t deadline_ns) {
  const struct timespec deadline = {deadline_ns / 1000000000, deadline_ns % 1000000000};
  for (;;) {
    const uint32_t left = park_signal.unanswered.load(std::memory_order_acquire);
    if (left == 0) return;
    if (Futex(&park_signal.unanswered, FUTEX_WAIT_BITSET, left, &deadline) == -1 && errno == ETIMEDOUT) return;
  }
}

}  // namespace atfork::runtime

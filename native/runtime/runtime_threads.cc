// runtime_threads.cc - see runtime_threads.h.
// Runs in:  the parent and the child, main thread.
// Calls:    what park_signal, libc_threads, thread_census and child/ offer.
// Rests on: glibc_layout's checks, repeated by no one else.
#include "runtime/runtime_threads.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "child/hold.h"
#include "posix/futex.h"
#include "posix/process_state.h"
#include "runtime/glibc_layout.h"
#include "runtime/libc_threads.h"
#include "runtime/park_signal.h"
#include "runtime/pool_rest.h"
#include "runtime/quiesce.h"
#include "runtime/roll_call.h"
#include "runtime/thread_roles.h"
#include "runtime/worker_aborts.h"

namespace atfork::runtime {
namespace {

constexpr int64_t kTaskPatience = int64_t{10} * 1000 * 1000 * 1000;

// Process-wide, main thread only.
struct State {
  GlibcLayout layout;
  char* restart_stacks = nullptr;
  bool restarted = false;  // this process has threads that were brought back
  bool workers_to_end = false;
};
State state;

// glibc's own way out of a thread asserts that the thread is attached to its malloc arena, which fork(3) undid. All
// that it does after the destructors of thread-specific data concerns the thread alone, so one that was brought back
// ends here, after everybody else's destructors: in the last of the rounds that POSIX grants. The kernel wakes the
// joiners.
void EndRestartedThread(void* round) {
  const auto number = reinterpret_cast<uintptr_t>(round);
  if (number < PTHREAD_DESTRUCTOR_ITERATIONS) {
    pthread_setspecific(park_signal.exit_key, reinterpret_cast<void*>(number + 1));
    return;
  }
  GetProcessState()->locks.AbandonMutexes();
  for (;;) syscall(SYS_exit, 0);
}

char* RestartStackTop(const ParkedThread* thread) {
  return state.restart_stacks + (static_cast<size_t>(thread - ParkPool()) + 1) * child::kRestartStackBytes;
}

// Everything that the child will need, while allocating is still allowed.
Status Prepare(ParkedCounts* counts) {
  Status noted = NoteLibcThreads(state.layout);
  if (!noted) return noted;
  *counts = {};
  for (ParkedThread* thread : Participants()) {
    if (thread->state.load() != ParkState::kParked) continue;
    const bool worker = thread->role == ThreadRole::kJsWorker;
    const bool of_pool = thread->role == ThreadRole::kPoolThread;
    counts->workers += worker;
    counts->pool += of_pool;
    ++counts->all;
    thread->restart.stack_top = RestartStackTop(thread);
    thread->restart.confined = worker || of_pool;
    thread->restart.held = worker;
    thread->restart.until_joined = worker && IsNestedWorker(thread->descriptor);
    thread->restart.go = 0;
    Status saved = SaveLibcThread(state.layout, thread->descriptor);
    if (!saved) return saved;
    // libc asks the kernel for these once, by the thread's number, which in the child is nobody's; then it remembers.
    int policy;
    struct sched_param parameters;
    pthread_getschedparam(static_cast<pthread_t>(thread->descriptor), &policy, &parameters);
  }
  return Unit{};
}

// Those that are JavaScript Workers, or those that are not.
int Restart(bool workers) {
  int failure = 0;
  state.restarted = true;
  for (ParkedThread* thread : Participants()) {
    if (thread->state.load() != ParkState::kParked || (thread->role == ThreadRole::kJsWorker) != workers) continue;
    if (thread->role == ThreadRole::kPoolThread) EndPoolThread({thread->descriptor, thread->restart.cleared_tid});
    thread->restarting.store(true);
    const int error = child::RestartThread(&thread->restart);
    if (error != 0) failure = error;
  }
  return failure;
}

}  // namespace

Status LoadRuntimeThreads() {
  Result<GlibcLayout> layout = LoadGlibcLayout();
  if (!layout) return layout.error();
  state.layout = layout.value();
  park_signal.layout = &state.layout;
  LoadRollCall(state.layout);

  if (pthread_key_create(&park_signal.exit_key, EndRestartedThread) != 0) {
    return Error::Errno("pthread_key_create", "load", EAGAIN);
  }
  // pthread_setspecific is then a store into struct pthread: the signal handler of a restarted thread calls it.
  if (park_signal.exit_key >= kKeysPerBlock) {
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "load", "more than 31 pthread keys are in use");
  }
  const size_t bytes = static_cast<size_t>(kMaxParkedThreads) * child::kRestartStackBytes;
  void* stacks = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stacks == MAP_FAILED) return Error::Errno("mmap", "load");
  state.restart_stacks = static_cast<char*>(stacks);

  return Unit{};
}

Result<ParkedCounts> ParkRuntimeThreads(const QuiesceTerms& terms) {
  Status quiet = Quiesce(terms);
  if (!quiet) return quiet.error();
  ParkedCounts counts = {};
  Status prepared = Prepare(&counts);
  if (!prepared) {
    Unquiesce();
    return prepared.error();
  }
  return counts;
}

bool RestoreRuntimeThreads() { return RestoreLibcThreads(state.layout); }

int RestartRuntimeThreads() { return Restart(false); }

int RestartWorkers() {
  std::vector<uintptr_t> own;
  for (const ParkedThread* thread : Participants()) {
    if (thread->state.load() != ParkState::kParked || !thread->restart.held) continue;
    if (!thread->restart.until_joined) own.push_back(thread->descriptor);
  }
  ExpectAborts(std::move(own));
  state.workers_to_end = true;
  return Restart(true);
}

void AwaitRestartedThreads() {
  constexpr int64_t kPatience = 1000 * 1000 * 1000;
  const ParkedThread* const pool = ParkPool();
  const auto is_on_its_way = [](const ParkedThread& thread) {
    return thread.restarting.load(std::memory_order_acquire) && thread.role == ThreadRole::kRuntime;
  };
  const int64_t until = MonotonicNanos() + kPatience;
  while (std::any_of(pool, pool + kMaxParkedThreads, is_on_its_way) && MonotonicNanos() < until) {
    const struct timespec pause = {0, 50 * 1000};
    nanosleep(&pause, nullptr);
  }
}

bool HasWorkersToEnd() { return state.workers_to_end; }

void ReleaseHeldWorkers() {
  state.workers_to_end = false;
  for (ParkedThread* thread : Participants()) {
    if (thread->role == ThreadRole::kJsWorker) child::Release(&thread->restart);
  }
  ForgetEverybody();
}

bool HasRestartedThreads() { return state.restarted; }

bool RunOnRestartedThreads(void (*task)(void*), void* argument) {
  const int64_t deadline = MonotonicNanos() + kTaskPatience;
  if (InstallParkHandler() != 0 || !CallRoll()) return false;
  for (ParkedThread* thread : Participants()) {
    thread->task = task;
    thread->task_argument = argument;
    // Those that libc started in this process, it has told itself.
    pid_t its = 0;
    const bool there = ReadOwnMemory(thread->descriptor + state.layout.tid, &its, sizeof its);
    if (!there || its == thread->tid) thread->state.store(ParkState::kGone);
  }
  bool answered = Ask() == 0;
  AwaitEverybody(deadline);
  answered = answered && CountAnswers().asked == 0;
  ReleaseEverybody();
  return answered;
}

}  // namespace atfork::runtime

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
#include <string>
#include <vector>

#include "child/hold.h"
#include "posix/futex.h"
#include "posix/thread_census.h"
#include "runtime/glibc_layout.h"
#include "runtime/libc_threads.h"
#include "runtime/loop_fds.h"
#include "runtime/park_signal.h"
#include "runtime/pool_rest.h"
#include "runtime/thread_roles.h"

namespace atfork::runtime {
namespace {

constexpr int64_t kMillisecond = 1000 * 1000;
// One try at parking everything. Threads that are parked may be what another waits for, so a try that takes longer is
// broken off and begun again, each time with more patience.
constexpr int64_t kQuickTry = 2 * kMillisecond;
constexpr int64_t kFirstTry = 20 * kMillisecond;
constexpr int64_t kAnswerPoll = 2 * kMillisecond;
constexpr int64_t kLookPatience = 10 * kMillisecond;
constexpr int64_t kTaskPatience = 10000 * kMillisecond;
constexpr long kBetweenTriesNs = 1000 * 1000;
constexpr long kBetweenAsksNs = 30 * 1000;
constexpr long kBetweenLooksNs = 50 * 1000;

// Process-wide, main thread only.
struct State {
  GlibcLayout layout;
  char* restart_stacks = nullptr;
  bool restarted = false;  // this process has threads that were brought back

  // One fork's.
  std::vector<ParkedThread*> threads;
  Pool pool = {{}, &park_signal.modules, true, nullptr};
  bool census_complete = false;
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
  for (;;) syscall(SYS_exit, 0);
}

bool TakesPart(const ParkedThread* thread) {
  return std::find(state.threads.begin(), state.threads.end(), thread) != state.threads.end();
}

ParkedThread* FreeSlot() {
  ParkedThread* pool = ParkPool();
  for (int i = 0; i < kMaxParkedThreads; ++i) {
    if (!pool[i].restarting.load(std::memory_order_acquire) && !TakesPart(&pool[i])) return &pool[i];
  }
  return nullptr;
}

// struct pthread of a thread of this process; 0 when it has none (io_uring's workers). One that has only just been
// started, or brought back, and has not told the kernel yet (set_robust_list(2)), must not be missed: it would be left
// behind, or keep the ids that the process gives up.
uintptr_t DescriptorOf(pid_t tid) {
  if (const uintptr_t descriptor = FindDescriptor(state.layout.thread, tid)) return descriptor;
  const ParkedThread* const pool = ParkPool();
  for (int i = 0; state.restarted && i < kMaxParkedThreads; ++i) {
    if (pool[i].restarting.load(std::memory_order_acquire) && pool[i].restart.real_tid == tid) {
      return pool[i].descriptor;
    }
  }
  // One that was brought back has told the kernel before it left its slot.
  if (const uintptr_t descriptor = FindDescriptor(state.layout.thread, tid)) return descriptor;
  return FindLibcThread(state.layout, tid);
}

// Adds a slot for each thread of the runtime that has none yet.
bool VisitThread(pid_t tid, void* added) {
  if (tid == getpid()) return true;
  for (const ParkedThread* thread : state.threads) {
    if (thread->tid == tid && thread->state.load() != ParkState::kGone) return true;
  }
  const uintptr_t descriptor = DescriptorOf(tid);
  const uintptr_t routine = descriptor == 0 ? 0 : StartRoutineOf(state.layout.thread, descriptor);
  if (!IsRuntimeRoutine(routine)) return true;
  const ThreadRole role = RoleOf(routine, descriptor);
  if (role == ThreadRole::kPoolThread) {
    state.pool.threads.push_back(tid);
    return true;
  }
  ParkedThread* slot = FreeSlot();
  if (slot == nullptr) {
    state.census_complete = false;
    return false;
  }
  slot->tid = tid;
  slot->descriptor = descriptor;
  slot->role = role;
  slot->task = nullptr;
  slot->look = false;
  slot->state.store(ParkState::kRefused);
  slot->position = {false, nullptr, -1};
  state.threads.push_back(slot);
  *static_cast<int*>(added) += 1;
  return true;
}

// How many threads were not known yet; -1 when they cannot be listed, or are too many.
int AddNewThreads() {
  Result<UniqueFd> tasks = OpenTaskDirectory();
  if (!tasks) return -1;
  int added = 0;
  state.census_complete = true;
  state.pool.threads.clear();
  state.pool.may_wait_outside = true;
  Status visited = ForEachThread(tasks.value().get(), VisitThread, &added);
  for (const ParkedThread* thread : state.threads) {
    if (thread->role == ThreadRole::kJsWorker) state.pool.may_wait_outside = false;
  }
  return visited && state.census_complete ? added : -1;
}

void Pause(long nanoseconds) {
  const struct timespec pause = {0, nanoseconds};
  nanosleep(&pause, nullptr);
}

bool IsAlive(pid_t tid) { return syscall(SYS_tgkill, getpid(), tid, 0) == 0; }

struct Tally {
  int asked = 0;
  int others = 0;  // neither asked nor parked
};

Tally Count() {
  Tally tally;
  for (const ParkedThread* thread : state.threads) {
    const ParkState now = thread->state.load(std::memory_order_acquire);
    tally.asked += now == ParkState::kAsked;
    tally.others += now != ParkState::kAsked && now != ParkState::kParked && now != ParkState::kGone;
  }
  return tally;
}

// Asks everyone who is not parked, and waits for the answers. 0 or an errno.
int AskOnce(int64_t until) {
  for (ParkedThread* thread : state.threads) {
    const ParkState now = thread->state.load(std::memory_order_acquire);
    if (now == ParkState::kParked || now == ParkState::kAsked || now == ParkState::kGone) continue;
    const int error = AskToPark(thread);
    if (error != 0 && error != ESRCH) return error;
  }
  for (;;) {
    AwaitAnswers(std::min(until, MonotonicNanos() + kAnswerPoll));
    if (Count().asked == 0 || MonotonicNanos() >= until) return 0;
    for (ParkedThread* thread : state.threads) {
      // A thread that ended before the signal reached it will not answer.
      if (thread->state.load() == ParkState::kAsked && !IsAlive(thread->tid)) GiveUpOn(thread);
    }
  }
}

// Where a pool thread stands, by its own account.
bool AskPoolThread(pid_t tid, SystemCall* call) {
  ParkedThread* slot = FreeSlot();
  if (slot == nullptr) return false;
  slot->tid = tid;
  slot->descriptor = DescriptorOf(tid);
  slot->look = true;
  if (AskToPark(slot) != 0) return false;
  AwaitAnswers(MonotonicNanos() + kLookPatience);
  const bool answered = slot->state.load(std::memory_order_acquire) == ParkState::kRefused;
  if (answered) *call = slot->call;
  ReleaseParked(slot);
  slot->look = false;
  return answered;
}

// A Worker inside spawnSync is not held there: true when there was one.
bool SendBackFromInnerLoops() {
  bool found = false;
  for (ParkedThread* thread : state.threads) {
    if (thread->role != ThreadRole::kJsWorker || thread->position.epoll_fd < 0) continue;
    if (thread->state.load() != ParkState::kParked) continue;
    // In glibc a pthread_t is the address of struct pthread.
    if (!IsInnerLoop(thread->position.epoll_fd, static_cast<pthread_t>(thread->descriptor))) continue;
    thread->position.reason = "waits for a process that it has started (spawnSync)";
    ReleaseParked(thread);
    found = true;
  }
  if (found) WakeReleased();
  return found;
}

enum class Outcome { kParked, kNotYet, kFailed };

// Parks everybody until `until`.
Outcome TryPark(int64_t until, int* error) {
  for (;;) {
    if (AddNewThreads() < 0) {
      *error = EAGAIN;
      return Outcome::kFailed;
    }
    const Tally tally = Count();
    if (tally.asked + tally.others == 0) {
      return SendBackFromInnerLoops() ? Outcome::kNotYet : Outcome::kParked;
    }
    if (MonotonicNanos() >= until) return Outcome::kNotYet;
    *error = AskOnce(until);
    if (*error != 0) return Outcome::kFailed;
    if (Count().others != 0) Pause(kBetweenAsksNs);
  }
}

// The same, and then holds the pool, which may still have work to finish.
Outcome TryParkAndHold(int64_t until, std::string* busy, int* error) {
  const Outcome outcome = TryPark(until, error);
  if (outcome != Outcome::kParked) return outcome;
  while (!HoldPool(state.pool, busy)) {
    if (MonotonicNanos() >= until) return Outcome::kNotYet;
    Pause(kBetweenLooksNs);
  }
  return Outcome::kParked;
}

// Without stopping anybody.
void AwaitPool(int64_t until, std::string* busy) {
  while (AddNewThreads() >= 0 && !PoolWaits(state.pool, busy) && MonotonicNanos() < until) {
    Pause(kBetweenLooksNs);
  }
  state.threads.clear();
}

void ReleaseAll() {
  for (ParkedThread* thread : state.threads) ReleaseParked(thread);
  WakeReleased();
  state.threads.clear();
}

std::string DescribeStuck() {
  std::string text;
  for (const ParkedThread* thread : state.threads) {
    const ParkState now = thread->state.load();
    if (now == ParkState::kParked || now == ParkState::kGone || thread->position.reason == nullptr) continue;
    const char* role = thread->role == ThreadRole::kJsWorker ? "Worker" : "runtime thread";
    if (!text.empty()) text += "; ";
    text += std::string(role) + " " + std::to_string(thread->tid) + " " +
            (now == ParkState::kAsked ? "did not answer" : thread->position.reason);
  }
  return text;
}

// What the tries came to that did not succeed.
struct Obstacle {
  int error = 0;
  std::string busy;   // what the pool does
  std::string stuck;  // who could not be parked, and where it stood
};

Error CouldNotPark(Outcome outcome, const Obstacle& obstacle) {
  if (outcome == Outcome::kFailed) return Error::Errno("rt_tgsigqueueinfo", "quiesce", obstacle.error);
  const char* both = obstacle.busy.empty() || obstacle.stuck.empty() ? "" : "; ";
  return Error::Refused("ERR_ATFORK_QUIESCE_TIMEOUT", "quiesce", obstacle.busy + both + obstacle.stuck);
}

char* RestartStackTop(const ParkedThread* thread) {
  return state.restart_stacks + (static_cast<size_t>(thread - ParkPool()) + 1) * child::kRestartStackBytes;
}

// Everything that the child will need, while allocating is still allowed.
Status Prepare(ParkedCounts* counts) {
  Status noted = NoteLibcThreads(state.layout);
  if (!noted) return noted;
  *counts = {};
  for (ParkedThread* thread : state.threads) {
    if (thread->state.load() != ParkState::kParked) continue;
    const bool worker = thread->role == ThreadRole::kJsWorker;
    counts->workers += worker;
    counts->runtime += thread->role == ThreadRole::kRuntime;
    thread->restart.stack_top = RestartStackTop(thread);
    thread->restart.confined = thread->restart.held = worker;
    thread->restart.until_joined = worker && IsNestedWorker(thread->descriptor);
    thread->restart.go = 0;
    Status saved = SaveLibcThread(state.layout, thread->descriptor);
    if (!saved) return saved;
  }
  return Unit{};
}

}  // namespace

Status LoadRuntimeThreads() {
  Result<GlibcLayout> layout = LoadGlibcLayout();
  if (!layout) return layout.error();
  state.layout = layout.value();
  park_signal.layout = &state.layout;

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

Result<ParkedCounts> ParkRuntimeThreads(int64_t deadline) {
  const int installed = InstallParkHandler();
  if (installed != 0) return Error::Errno("rt_sigaction", "quiesce", installed);
  park_signal.modules.Update();
  park_signal.overslept.store(false);
  state.threads.clear();
  state.pool.ask = AskPoolThread;
  Obstacle obstacle;

  // Most of the time everybody can be parked at once, and the pool is at rest.
  Outcome outcome = TryParkAndHold(std::min(deadline, MonotonicNanos() + kQuickTry), &obstacle.busy, &obstacle.error);
  for (int64_t patience = kFirstTry; outcome != Outcome::kParked; patience *= 2) {
    const std::string stuck = DescribeStuck();
    if (!stuck.empty()) obstacle.stuck = stuck;
    ReleaseAll();
    if (outcome == Outcome::kFailed || MonotonicNanos() >= deadline) return CouldNotPark(outcome, obstacle);
    Pause(kBetweenTriesNs);
    // Now with patience. The pool first, with everybody else running, since what it is busy with may need them; but if
    // it does not come to rest so, those who give it work are stopped while it finishes.
    AwaitPool(std::min(deadline, MonotonicNanos() + patience), &obstacle.busy);
    outcome = TryParkAndHold(std::min(deadline, MonotonicNanos() + patience), &obstacle.busy, &obstacle.error);
  }
  ParkedCounts counts = {};
  Status prepared = Prepare(&counts);
  if (!prepared) {
    ReleaseRuntimeThreads();
    return prepared.error();
  }
  return counts;
}

void ReleaseRuntimeThreads() {
  ReleasePool();
  ReleaseAll();
}

bool ParkWasBroken() { return park_signal.overslept.load(); }

bool RestoreRuntimeThreads() { return RestoreLibcThreads(state.layout); }

int RestartRuntimeThreads() {
  int failure = 0;
  state.restarted = true;
  for (ParkedThread* thread : state.threads) {
    if (thread->state.load() != ParkState::kParked) continue;
    thread->restarting.store(true);
    const int error = child::RestartThread(&thread->restart);
    if (error != 0) failure = error;
  }
  return failure;
}

int HeldWorkers() {
  int held = 0;
  for (const ParkedThread* thread : state.threads) held += thread->role == ThreadRole::kJsWorker;
  return held;
}

void ReleaseHeldWorkers() {
  for (ParkedThread* thread : state.threads) {
    if (thread->role == ThreadRole::kJsWorker && !thread->restart.until_joined) child::Release(&thread->restart);
  }
  state.threads.clear();
}

bool HasRestartedThreads() { return state.restarted; }

bool RunOnRestartedThreads(void (*task)(void*), void* argument) {
  const int64_t deadline = MonotonicNanos() + kTaskPatience;
  if (InstallParkHandler() != 0 || AddNewThreads() < 0) return false;
  for (ParkedThread* thread : state.threads) {
    thread->task = task;
    thread->task_argument = argument;
    // Those that libc started in this process, it has told itself.
    const bool known_to_libc = *reinterpret_cast<const pid_t*>(thread->descriptor + state.layout.tid) == thread->tid;
    if (known_to_libc) thread->state.store(ParkState::kGone);
  }
  const bool answered = AskOnce(deadline) == 0 && Count().asked == 0;
  ReleaseAll();
  return answered;
}

}  // namespace atfork::runtime

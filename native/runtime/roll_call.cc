// roll_call.cc - see roll_call.h.
// Runs in:  the forking thread.
// Calls:    thread_census, libc_threads, park_signal; tgkill(2) with signal 0.
// Rests on: a slot is given to a new thread only when no signal for it is under way (park_signal.h).
#include "runtime/roll_call.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "posix/futex.h"
#include "posix/thread_census.h"
#include "runtime/libc_threads.h"
#include "runtime/thread_roles.h"

namespace atfork::runtime {
namespace {

constexpr int64_t kAnswerPoll = 2 * 1000 * 1000;
constexpr int64_t kLookPatience = 10 * 1000 * 1000;

struct Identity {
  pid_t tid;
  uintptr_t descriptor;
  uintptr_t routine;
};

struct Refusal {
  pid_t tid;
  const char* reason;
};

// Process-wide, main thread only.
struct State {
  const GlibcLayout* layout = nullptr;
  pid_t self = 0;
  std::vector<Identity> identities;
  uint64_t starts = 0;
  std::vector<ParkedThread*> threads;
  std::vector<pid_t> pool;
  std::vector<pid_t> others;  // who is nobody that is parked, or held: they may come and go
  bool out_of_slots = false;
  // Since the last ForgetRefusals: why each was last not parked.
  std::vector<Refusal> refusals;

  // Of the last pass over them all.
  UniqueFd tasks;
  uint64_t links = 0;   // how many threads the kernel said there were, before it listed them
  uint64_t listed = 0;  // how many it listed
};
State state;

bool IsAlive(pid_t tid) { return syscall(SYS_tgkill, getpid(), tid, 0) == 0; }

bool TakesPart(const ParkedThread* thread) {
  return std::find(state.threads.begin(), state.threads.end(), thread) != state.threads.end();
}

ParkedThread* FreeSlot() {
  ParkedThread* pool = ParkPool();
  for (int i = 0; i < kMaxParkedThreads; ++i) {
    ParkedThread* slot = &pool[i];
    if (slot->restarting.load(std::memory_order_acquire) || TakesPart(slot)) continue;
    if (slot->signals.load(std::memory_order_acquire) > 0) {
      if (IsAlive(slot->tid)) continue;
      slot->signals.store(0);  // went with the thread
    }
    return slot;
  }
  return nullptr;
}

// struct pthread of a thread of this process; 0 when it has none (io_uring's workers). One that has only just been
// started, or brought back, and has not told the kernel yet (set_robust_list(2)), must not be missed: it would be left
// behind, or keep the ids that the process gives up.
uintptr_t DescriptorOf(pid_t tid) {
  if (const uintptr_t descriptor = FindDescriptor(state.layout->thread, tid)) return descriptor;
  const ParkedThread* const pool = ParkPool();
  for (int i = 0; i < kMaxParkedThreads; ++i) {
    if (pool[i].restarting.load(std::memory_order_acquire) && pool[i].restart.real_tid == tid) {
      return pool[i].descriptor;
    }
  }
  // One that was brought back has told the kernel before it left its slot.
  if (const uintptr_t descriptor = FindDescriptor(state.layout->thread, tid)) return descriptor;
  return FindLibcThread(*state.layout, tid);
}

ParkedThread* Add(pid_t tid, uintptr_t descriptor, ThreadRole role) {
  ParkedThread* slot = FreeSlot();
  if (slot == nullptr) return nullptr;
  slot->tid = tid;
  slot->descriptor = descriptor;
  slot->role = role;
  slot->task = nullptr;
  slot->look = false;
  slot->state.store(ParkState::kRefused);
  slot->position = {false, false, nullptr};
  state.threads.push_back(slot);
  return slot;
}

// A folder has two links and one for each in it: fs/proc/base.c, proc_task_getattr.
uint64_t CountTasks() {
  struct stat status;
  return fstat(state.tasks.get(), &status) == 0 ? status.st_nlink - 2 : 0;
}

// Nobody can have been started since: all that there were are parked, or of the pool, which only grows from inside, and
// there are as many.
bool IsComplete() {
  if (!state.tasks || !state.others.empty() || state.listed != state.links || CountTasks() != state.links) return false;
  return std::all_of(state.threads.begin(), state.threads.end(), [](const ParkedThread* thread) {
    return thread->state.load(std::memory_order_acquire) == ParkState::kParked;
  });
}

// The start routine of the thread `tid`, 0 when it has none; `descriptor` receives its struct pthread. Both are read
// anew whenever the runtime has started a thread since: until then the same number and the same struct are the same
// thread's, or that of another library's that has taken its place, which comes to no harm by being asked.
uintptr_t RoutineOf(pid_t tid, uintptr_t* descriptor) {
  const uint64_t starts = ThreadStarts();
  if (state.starts != starts) state.identities.clear();
  state.starts = starts;
  *descriptor = FindDescriptor(state.layout->thread, tid);
  for (const Identity& known : state.identities) {
    if (known.tid == tid && known.descriptor == *descriptor) return known.routine;
  }
  *descriptor = DescriptorOf(tid);
  const uintptr_t routine = *descriptor == 0 ? 0 : StartRoutineOf(state.layout->thread, *descriptor);
  if (routine != 0) state.identities.push_back({tid, *descriptor, routine});
  return routine;
}

bool VisitThread(pid_t tid, void*) {
  ++state.listed;
  if (tid == state.self) return true;
  for (const ParkedThread* thread : state.threads) {
    if (thread->tid == tid && thread->state.load() != ParkState::kGone) return true;
  }
  uintptr_t descriptor;
  const uintptr_t routine = RoutineOf(tid, &descriptor);
  if (!IsRuntimeRoutine(routine)) {
    state.others.push_back(tid);
    return true;
  }
  const ThreadRole role = RoleOf(routine, descriptor);
  if (role == ThreadRole::kPoolThread) {
    state.pool.push_back(tid);
  } else if (Add(tid, descriptor, role) == nullptr) {
    state.out_of_slots = true;
  }
  return !state.out_of_slots;
}

const char* Describe(ThreadRole role) {
  switch (role) {
    case ThreadRole::kRuntime:
      return "runtime thread ";
    case ThreadRole::kJsWorker:
      return "Worker ";
    case ThreadRole::kPoolThread:
      break;
  }
  return "libuv-pool thread ";
}

// `thread` has not been asked since it answered.
void NoteRefusal(const ParkedThread* thread) {
  if (thread->position.reason == nullptr) return;
  for (Refusal& known : state.refusals) {
    if (known.tid == thread->tid) {
      known.reason = thread->position.reason;
      return;
    }
  }
  state.refusals.push_back({thread->tid, thread->position.reason});
}

// Null: it has not refused.
const char* LastRefusal(pid_t tid) {
  for (const Refusal& known : state.refusals) {
    if (known.tid == tid) return known.reason;
  }
  return nullptr;
}

template <typename Predicate>
void Release(Predicate leaves) {
  for (ParkedThread* thread : state.threads) {
    if (leaves(thread)) ReleaseParked(thread);
  }
  state.threads.erase(std::remove_if(state.threads.begin(), state.threads.end(), leaves), state.threads.end());
}

}  // namespace

void LoadRollCall(const GlibcLayout& layout) { state.layout = &layout; }

const std::vector<ParkedThread*>& Participants() { return state.threads; }

const std::vector<pid_t>& PoolThreads() { return state.pool; }

const std::vector<pid_t>& OtherThreads() { return state.others; }

Status CallRoll() {
  if (IsComplete()) return Unit{};
  Result<UniqueFd> tasks = OpenTaskDirectory();
  if (!tasks) return tasks.error();
  state.tasks = std::move(tasks.value());
  state.self = getpid();
  state.pool.clear();
  state.others.clear();
  state.out_of_slots = false;
  state.listed = 0;
  state.links = CountTasks();
  Status visited = ForEachThread(state.tasks.get(), VisitThread, nullptr);
  if (visited && state.out_of_slots) {
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "quiesce", "too many threads");
  }
  return visited;
}

int TaskFolder() { return state.tasks.get(); }

ParkedThread* AddPoolThread(pid_t tid) { return Add(tid, DescriptorOf(tid), ThreadRole::kPoolThread); }

Tally CountAnswers() {
  Tally tally;
  for (const ParkedThread* thread : state.threads) {
    const ParkState now = thread->state.load(std::memory_order_acquire);
    tally.asked += now == ParkState::kAsked;
    tally.waiting += now == ParkState::kRefused && thread->position.waits;
    tally.others += now != ParkState::kAsked && now != ParkState::kParked && now != ParkState::kGone;
  }
  return tally;
}

int Ask() {
  for (ParkedThread* thread : state.threads) {
    const ParkState now = thread->state.load(std::memory_order_acquire);
    if (now == ParkState::kParked || now == ParkState::kAsked || now == ParkState::kGone) continue;
    NoteRefusal(thread);
    const int error = AskToPark(thread);
    if (error != 0 && error != ESRCH) return error;
  }
  return 0;
}

void AwaitEverybody(int64_t until) {
  do {
    AwaitAnswers(std::min(until, MonotonicNanos() + kAnswerPoll));
    if (CountAnswers().asked == 0) return;
    for (ParkedThread* thread : state.threads) {
      // A thread that ended before the signal reached it will not answer.
      if (thread->state.load() == ParkState::kAsked && !IsAlive(thread->tid)) GiveUpOn(thread);
    }
  } while (MonotonicNanos() < until);
}

bool AskPoolThread(pid_t tid, SystemCall* call) {
  ParkedThread* slot = AddPoolThread(tid);
  if (slot == nullptr) return false;
  state.threads.pop_back();
  slot->look = true;
  if (AskToPark(slot) != 0) return false;
  AwaitAnswers(MonotonicNanos() + kLookPatience);
  const bool answered = slot->state.load(std::memory_order_acquire) == ParkState::kRefused;
  if (answered) *call = slot->call;
  ReleaseParked(slot);
  return answered;
}

std::string DescribeStuck() {
  std::string text;
  for (const ParkedThread* thread : state.threads) {
    const ParkState now = thread->state.load(std::memory_order_acquire);
    const bool asked = now == ParkState::kAsked;
    if (now == ParkState::kParked || now == ParkState::kGone) continue;
    // While it is asked, its position may be being written.
    if (!asked) NoteRefusal(thread);
    const char* const reason = LastRefusal(thread->tid);
    if (!asked && reason == nullptr) continue;
    if (!text.empty()) text += "; ";
    text += Describe(thread->role) + std::to_string(thread->tid) + " ";
    text += reason == nullptr ? "did not answer" : reason;
  }
  return text;
}

void ForgetRefusals() { state.refusals.clear(); }

void ReleasePoolThreads() {
  Release([](const ParkedThread* thread) { return thread->role == ThreadRole::kPoolThread; });
  WakeReleased();
}

void ReleaseEverybody() {
  Release([](const ParkedThread*) { return true; });
  state.tasks.reset();
  WakeAllReleased();
}

void ForgetEverybody() {
  state.threads.clear();
  state.tasks.reset();
}

}  // namespace atfork::runtime

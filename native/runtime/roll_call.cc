// roll_call.cc - see roll_call.h.
// Runs in:  the forking thread.
// Calls:    thread_census, libc_threads, park_signal; tgkill(2) with signal 0.
// Rests on: a slot is given to a new thread only when no signal for it is under way (park_signal.h).
#include "runtime/roll_call.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "posix/futex.h"
#include "posix/thread_census.h"
#include "runtime/libc_threads.h"
#include "runtime/thread_roles.h"

namespace atfork::runtime {
namespace {

constexpr int64_t kAnswerPoll = 2 * 1000 * 1000;
constexpr int64_t kLookPatience = 10 * 1000 * 1000;

// Process-wide, main thread only.
struct State {
  const GlibcLayout* layout = nullptr;
  std::vector<ParkedThread*> threads;
  std::vector<pid_t> pool;
  bool out_of_slots = false;
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
  slot->position = {false, nullptr};
  state.threads.push_back(slot);
  return slot;
}

bool VisitThread(pid_t tid, void*) {
  if (tid == getpid()) return true;
  for (const ParkedThread* thread : state.threads) {
    if (thread->tid == tid && thread->state.load() != ParkState::kGone) return true;
  }
  const uintptr_t descriptor = DescriptorOf(tid);
  const uintptr_t routine = descriptor == 0 ? 0 : StartRoutineOf(state.layout->thread, descriptor);
  if (!IsRuntimeRoutine(routine)) return true;
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

template <typename Predicate>
void Release(Predicate leaves) {
  for (ParkedThread* thread : state.threads) {
    if (leaves(thread)) ReleaseParked(thread);
  }
  WakeReleased();
  state.threads.erase(std::remove_if(state.threads.begin(), state.threads.end(), leaves), state.threads.end());
}

}  // namespace

void LoadRollCall(const GlibcLayout& layout) { state.layout = &layout; }

const std::vector<ParkedThread*>& Participants() { return state.threads; }

const std::vector<pid_t>& PoolThreads() { return state.pool; }

Status CallRoll() {
  Result<UniqueFd> tasks = OpenTaskDirectory();
  if (!tasks) return tasks.error();
  state.pool.clear();
  state.out_of_slots = false;
  Status visited = ForEachThread(tasks.value().get(), VisitThread, nullptr);
  if (visited && state.out_of_slots) {
    return Error::Refused("ERR_ATFORK_UNSUPPORTED", "quiesce", "too many threads");
  }
  return visited;
}

ParkedThread* AddPoolThread(pid_t tid) { return Add(tid, DescriptorOf(tid), ThreadRole::kPoolThread); }

Tally CountAnswers() {
  Tally tally;
  for (const ParkedThread* thread : state.threads) {
    const ParkState now = thread->state.load(std::memory_order_acquire);
    tally.asked += now == ParkState::kAsked;
    tally.others += now != ParkState::kAsked && now != ParkState::kParked && now != ParkState::kGone;
  }
  return tally;
}

int AskOnce(int64_t until) {
  for (ParkedThread* thread : state.threads) {
    const ParkState now = thread->state.load(std::memory_order_acquire);
    if (now == ParkState::kParked || now == ParkState::kAsked || now == ParkState::kGone) continue;
    const int error = AskToPark(thread);
    if (error != 0 && error != ESRCH) return error;
  }
  for (;;) {
    AwaitAnswers(std::min(until, MonotonicNanos() + kAnswerPoll));
    if (CountAnswers().asked == 0 || MonotonicNanos() >= until) return 0;
    for (ParkedThread* thread : state.threads) {
      // A thread that ended before the signal reached it will not answer.
      if (thread->state.load() == ParkState::kAsked && !IsAlive(thread->tid)) GiveUpOn(thread);
    }
  }
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
    if (!asked && thread->position.reason == nullptr) continue;
    if (!text.empty()) text += "; ";
    text += Describe(thread->role) + std::to_string(thread->tid) + " ";
    text += asked ? "did not answer" : thread->position.reason;
  }
  return text;
}

void ReleasePoolThreads() {
  Release([](const ParkedThread* thread) { return thread->role == ThreadRole::kPoolThread; });
}

void ReleaseEverybody() {
  Release([](const ParkedThread*) { return true; });
}

void ForgetEverybody() { state.threads.clear(); }

}  // namespace atfork::runtime

// quiesce.cc - see quiesce.h.
// Runs in:  the parent, main thread.
// Calls:    what roll_call, park_signal, pool_rest and loop_fds offer; nanosleep(2).
// Rests on: threads that are parked may be what another waits for. So a try that takes longer is broken off and begun
//           again, with more patience; but nobody is ever stopped for longer than the last patience.
#include "runtime/quiesce.h"

#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <string>
#include <vector>

#include "posix/futex.h"
#include "runtime/loop_fds.h"
#include "runtime/park_signal.h"
#include "runtime/pool_rest.h"
#include "runtime/roll_call.h"

namespace atfork::runtime {
namespace {

constexpr int64_t kMillisecond = 1000 * 1000;
constexpr int64_t kQuickTry = 2 * kMillisecond;
constexpr int64_t kFirstPatience = 20 * kMillisecond;
constexpr int64_t kLastPatience = 50 * kMillisecond;
constexpr long kBetweenTriesNs = 1000 * 1000;
constexpr long kBetweenAsksNs = 30 * 1000;
constexpr long kBetweenLooksNs = 50 * 1000;

void Pause(long nanoseconds) {
  const struct timespec pause = {0, nanoseconds};
  nanosleep(&pause, nullptr);
}

enum class Outcome { kParked, kNotYet, kFailed };

// What has been in the way so far.
struct Obstacle {
  Error failure;
  std::string busy;   // what the pool does
  std::string stuck;  // who could not be parked, and where it stood
};

Outcome Fail(Obstacle* obstacle, Error failure) {
  obstacle->failure = std::move(failure);
  return Outcome::kFailed;
}

// A Worker inside spawnSync is not held there.
void SendBackFromInnerLoops() {
  bool found = false;
  for (ParkedThread* thread : Participants()) {
    if (thread->role != ThreadRole::kJsWorker || thread->state.load() != ParkState::kParked) continue;
    // In glibc a pthread_t is the address of struct pthread.
    if (!HasInnerLoop(static_cast<pthread_t>(thread->descriptor))) continue;
    thread->position.reason = "waits for a process that it has started (spawnSync)";
    ReleaseParked(thread);
    found = true;
  }
  if (found) WakeReleased();
}

// Parks everybody until `until`.
Outcome TryPark(int64_t until, Obstacle* obstacle) {
  CloseLoopGate();
  for (;;) {
    Status called = CallRoll();
    if (!called) return Fail(obstacle, called.error());
    SendBackFromInnerLoops();
    const Tally tally = CountAnswers();
    if (tally.asked + tally.others == 0) return Outcome::kParked;
    if (MonotonicNanos() >= until) return Outcome::kNotYet;
    const int error = AskOnce(until);
    if (error != 0) return Fail(obstacle, Error::Errno("rt_tgsigqueueinfo", "quiesce", error));
    if (CountAnswers().others != 0) Pause(kBetweenAsksNs);
  }
}

// With the pool held: parks those of its threads that wait in a system call. One that has got what it waited for is on
// its way to the pool's mutex, which it needs.
bool TryParkPoolThreads(int64_t until) {
  for (const pid_t tid : PoolThreadsInCalls()) {
    if (AddPoolThread(tid) == nullptr) return false;
  }
  if (PoolThreadsInCalls().empty()) return true;
  if (AskOnce(until) != 0) return false;
  const Tally tally = CountAnswers();
  return tally.asked + tally.others == 0;
}

// The same, and then holds the pool, which may still have work to finish.
Outcome TryParkAndHold(int64_t until, Obstacle* obstacle) {
  const Outcome outcome = TryPark(until, obstacle);
  if (outcome != Outcome::kParked) return outcome;
  for (;;) {
    if (HoldPool(&obstacle->busy)) {
      if (TryParkPoolThreads(until)) return Outcome::kParked;
      obstacle->busy = DescribeStuck();
      ReleasePoolThreads();
      ReleasePool();
    }
    if (MonotonicNanos() >= until) return Outcome::kNotYet;
    Pause(kBetweenLooksNs);
  }
}

void ReleaseAll() {
  OpenLoopGate();
  ReleaseEverybody();
}

// Lets the pool finish, without stopping anybody.
void AwaitPool(int64_t until, std::string* busy) {
  while (CallRoll() && !PoolWaits(busy) && MonotonicNanos() < until) Pause(kBetweenLooksNs);
  ForgetEverybody();
}

Error CouldNotPark(Outcome outcome, const Obstacle& obstacle) {
  if (outcome == Outcome::kFailed) return obstacle.failure;
  const char* both = obstacle.busy.empty() || obstacle.stuck.empty() ? "" : "; ";
  return Error::Refused("ERR_ATFORK_QUIESCE_TIMEOUT", "quiesce", obstacle.busy + both + obstacle.stuck);
}

}  // namespace

Status Quiesce(int64_t deadline) {
  const int installed = InstallParkHandler();
  if (installed != 0) return Error::Errno("rt_sigaction", "quiesce", installed);
  park_signal.modules.Update();
  ForgetEverybody();
  Obstacle obstacle;

  // Most of the time everybody can be parked at once, and the pool is at rest.
  Outcome outcome = TryParkAndHold(std::min(deadline, MonotonicNanos() + kQuickTry), &obstacle);
  for (int64_t patience = kFirstPatience; outcome != Outcome::kParked;
       patience = std::min(2 * patience, kLastPatience)) {
    const std::string stuck = DescribeStuck();
    if (!stuck.empty()) obstacle.stuck = stuck;
    ReleaseAll();
    if (outcome == Outcome::kFailed || MonotonicNanos() >= deadline) return CouldNotPark(outcome, obstacle);
    Pause(kBetweenTriesNs);
    // Now with patience. The pool first, with everybody else running, since what it is busy with may need them; but if
    // it does not come to rest so, those who give it work are stopped while it finishes.
    AwaitPool(std::min(deadline, MonotonicNanos() + patience), &obstacle.busy);
    outcome = TryParkAndHold(std::min(deadline, MonotonicNanos() + patience), &obstacle);
  }
  return Unit{};
}

void Unquiesce() {
  ReleasePool();
  ReleaseAll();
}

}  // namespace atfork::runtime

// quiesce.cc - see quiesce.h.
// Runs in:  the parent, main thread.
// Calls:    what roll_call, park_signal, pool_rest and loop_fds offer; nanosleep(2).
// Rests on: threads that are parked may be what another waits for. So a try that takes longer is broken off and begun
//           again, with more patience; but nobody is ever stopped for longer than the last patience, or, on a machine
//           that has no processor for them, the starved one.
#include "runtime/quiesce.h"

#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <string>
#include <vector>

#include "posix/futex.h"
#include "runtime/event_loop.h"
#include "runtime/fork_verdict.h"
#include "runtime/gate.h"
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
// Where some have not even been given a processor to answer: they would not get it sooner if the others ran.
constexpr int64_t kStarvedPatience = 400 * kMillisecond;
constexpr long kBetweenTriesNs = 1000 * 1000;
constexpr int64_t kAnswerPatience = 200 * 1000;
// How often they are asked at least: where the machine has no processor for this thread, the time of a try is over
// before it has asked twice, and who was met at a bad place has long gone on.
constexpr int kLeastAsks = 4;
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

// A Worker inside spawnSync is not held there. Whether one was.
bool SendBackFromInnerLoops() {
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
  return found;
}

// The pool, which may still have work to finish.
class PoolHold {
 public:
  PoolHold(Obstacle* obstacle, PoolRest rest) : obstacle_(obstacle), rest_(rest) {}
  ~PoolHold() {
    if (!kept_) Drop();
  }
  PoolHold(const PoolHold&) = delete;
  PoolHold& operator=(const PoolHold&) = delete;

  // True when it is held, as it is now: what else there is of it has been found since.
  bool Try() {
    if (held_ && PoolThreads().size() == threads_) return true;
    Drop();
    held_ = HoldPool(rest_, &obstacle_->busy);
    threads_ = PoolThreads().size();
    return held_;
  }
  void Drop() {
    if (held_) ReleasePool();
    held_ = false;
  }
  // Beyond this object's life.
  void Keep() { kept_ = true; }

 private:
  Obstacle* const obstacle_;
  const PoolRest rest_;
  size_t threads_ = 0;
  bool held_ = false;
  bool kept_ = false;
};

// Parks everybody until `until`; a `quick` try is over sooner if all who are left wait where they cannot be parked,
// perhaps for one that is. Those who are on their way, or have not been given a processor yet, would not come sooner if
// the others ran. While they answer, there is time to look at the pool.
Outcome TryPark(bool quick, int64_t until, Obstacle* obstacle, PoolHold* pool) {
  // Who has not gone on since the last time would not answer, and could be mistaken for one that is parked now.
  WakeReleased();
  CloseGate();
  int64_t waiting_since = kNoDeadline;
  for (int asks = 0;; ++asks) {
    Status called = CallRoll();
    if (!called) return Fail(obstacle, called.error());
    // Counted first: those who are parked by then are looked at.
    const Tally before = CountAnswers();
    const bool sent_back = SendBackFromInnerLoops();
    if (!sent_back && before.asked + before.others == 0) return Outcome::kParked;
    const int64_t now = MonotonicNanos();
    if (sent_back || before.waiting < before.others) waiting_since = kNoDeadline;
    const bool is_over = now >= until || (quick && waiting_since < now - kQuickTry);
    if (is_over && asks >= kLeastAsks) return Outcome::kNotYet;
    const int error = Ask();
    if (error != 0) return Fail(obstacle, Error::Errno("rt_tgsigqueueinfo", "quiesce", error));
    if (quick) pool->Try();
    // Not for all answers: those who have refused run on, and may have the processor that another needs to answer.
    AwaitEverybody(MonotonicNanos() + kAnswerPatience);
    const Tally after = CountAnswers();
    if (after.others == 0) continue;
    if (after.waiting == after.others) waiting_since = std::min(waiting_since, MonotonicNanos());
    Pause(kBetweenAsksNs);
  }
}

// With the pool held: parks those of its threads that wait in a system call. One that has got what it waited for is on
// its way to the pool's mutex, which it needs.
bool TryParkPoolThreads(int64_t until) {
  for (const pid_t tid : PoolThreadsInCalls()) {
    if (AddPoolThread(tid) == nullptr) return false;
  }
  if (PoolThreadsInCalls().empty()) return true;
  if (Ask() != 0) return false;
  AwaitEverybody(until);
  const Tally tally = CountAnswers();
  return tally.asked + tally.others == 0;
}

// The same, and then holds the pool.
Outcome TryParkAndHold(const QuiesceTerms& terms, bool quick, int64_t until, Obstacle* obstacle) {
  PoolHold pool(obstacle, terms.pool);
  const Outcome outcome = TryPark(quick, until, obstacle, &pool);
  if (outcome != Outcome::kParked) return outcome;
  if (IsBeingWoken(terms.loop)) {
    obstacle->stuck = "a thread is waking the main thread's event loop";
    return Outcome::kNotYet;
  }
  for (;;) {
    if (pool.Try()) {
      if (TryParkPoolThreads(until)) {
        pool.Keep();
        return Outcome::kParked;
      }
      obstacle->busy = DescribeStuck();
      ReleasePoolThreads();
      pool.Drop();
    }
    if (quick || MonotonicNanos() >= until) return Outcome::kNotYet;
    Pause(kBetweenLooksNs);
  }
}

void ReleaseAll() {
  OpenGate();
  ReleaseEverybody();
}

// Lets the pool finish, without stopping anybody.
void AwaitPool(int64_t until, PoolRest rest, std::string* busy) {
  while (CallRoll() && !IsPoolAtRest(rest, busy) && MonotonicNanos() < until) Pause(kBetweenLooksNs);
  ForgetEverybody();
}

Error CouldNotPark(Outcome outcome, const Obstacle& obstacle) {
  if (outcome == Outcome::kFailed) return obstacle.failure;
  const char* both = obstacle.busy.empty() || obstacle.stuck.empty() ? "" : "; ";
  return Error::Refused("ERR_ATFORK_QUIESCE_TIMEOUT", "quiesce", obstacle.busy + both + obstacle.stuck);
}

Status Begin() {
  const int installed = InstallParkHandler();
  if (installed != 0) return Error::Errno("rt_sigaction", "quiesce", installed);
  park_signal.modules.Update();
  ForgetEverybody();
  ForgetRefusals();
  return Unit{};
}

}  // namespace

Status Quiesce(const QuiesceTerms& terms) {
  const int64_t deadline = terms.deadline;
  Status begun = Begin();
  if (begun) begun = BeginVerdict();
  if (!begun) return begun;
  Obstacle obstacle;

  // Most of the time everybody can be parked at once, and the pool is at rest.
  Outcome outcome = TryParkAndHold(terms, true, std::min(deadline, MonotonicNanos() + kFirstPatience), &obstacle);
  for (int64_t patience = kFirstPatience; outcome != Outcome::kParked;) {
    const bool starved = CountAnswers().asked != 0;
    const std::string stuck = DescribeStuck();
    if (!stuck.empty()) obstacle.stuck = stuck;
    ReleaseAll();
    if (outcome == Outcome::kFailed || MonotonicNanos() >= deadline) return CouldNotPark(outcome, obstacle);
    Pause(kBetweenTriesNs);
    // Now with patience. The pool first, with everybody else running, since what it is busy with may need them; but if
    // it does not come to rest so, those who give it work are stopped while it finishes.
    AwaitPool(std::min(deadline, MonotonicNanos() + patience), terms.pool, &obstacle.busy);
    outcome = TryParkAndHold(terms, false, std::min(deadline, MonotonicNanos() + patience), &obstacle);
    patience = std::min(2 * patience, starved ? kStarvedPatience : kLastPatience);
  }
  return Unit{};
}

Result<std::string> FindPoolWork() {
  Status begun = Begin();
  if (begun) begun = CallRoll();
  if (!begun) return begun.error();
  std::string busy;
  IsPoolAtRest(PoolRest::kNothingBegun, &busy);
  ForgetEverybody();
  return busy;
}

void Unquiesce() {
  ReleasePool();
  ReleaseAll();
}

}  // namespace atfork::runtime

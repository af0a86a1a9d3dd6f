// lock_queue.h - those who wait for a lock, first come first, and how each is woken.
//
// A waiter is a thread that sleeps on the waiter's own word, or an acquisition that an event loop waits for without
// blocking: its loop is told, and looks. Either stays in the queue until it has the lock or gives up, so it keeps its
// place however often it is woken in vain.
//
// Runs in:  any thread. The queue and its waiters are guarded by the ShortLock of their lock, but for Wakeup::Send.
// Calls:    futex(2) in Send, or what the loop's waker calls. Allocates: no.
#ifndef ATFORK_POSIX_LOCK_QUEUE_H_
#define ATFORK_POSIX_LOCK_QUEUE_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "posix/futex.h"
#include "posix/thread_directory.h"
#include "posix/thread_identity.h"

namespace atfork {

// How an event loop is told that one of its waiters is to look at its lock. It must not go while `users` is not 0; none
// comes once its last waiter has left the queue.
struct LoopWaker {
  using Call = void (*)(LoopWaker*);
  explicit LoopWaker(
      Call waker, Call forgetter = [](LoopWaker*) {})
      : wake(waker), forget(forgetter) {}

  const Call wake;
  // In the child of a fork, on the loop's thread: what is waited for is the parent's.
  const Call forget;
  std::atomic<uint32_t> users{0};
  // The next one of the same thread (ThreadEntry::wakers).
  LoopWaker* next = nullptr;
};

struct Waiter {
  // Napping: it looks again by itself, at `nap_ends`, and until then nobody is to wake it.
  enum State : uint32_t { kAsleep, kNapping, kWoken, kGranted };

  // Nanoseconds: who has waited for so long is the next to get the lock.
  static constexpr int64_t kFair = 1000 * 1000;

  // A thread's, that gives up at `deadline`: if that is soon, its turn comes sooner.
  explicit Waiter(const ThreadIdentity& thread, int64_t deadline = kNoDeadline)
      : Waiter(thread, thread.token, nullptr, MonotonicNanos(), deadline) {}
  // An event loop's, on its own thread.
  Waiter(const ThreadIdentity& thread, LoopWaker* waker)
      : Waiter(thread, thread.token | kLoopOwner, waker, MonotonicNanos(), kNoDeadline) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // A thread that has been woken to take the lock, and looks at it again whatever its holder does.
  bool IsAwake() const {
    const uint32_t now = state.load(std::memory_order_relaxed);
    return loop == nullptr && (now == kWoken || now == kNapping);
  }
  // A loop whose thread sleeps for some lock hears of nothing.
  bool CanAct() const { return loop == nullptr || self->entry == nullptr || self->entry->waits_for.load() == nullptr; }

  const ThreadIdentity* const self;
  const uint32_t token;  // in the word of the lock, once it is this waiter's
  LoopWaker* const loop;
  // The thread that forks moves on with its child, and its waits do not.
  const uint32_t generation = self->generation;
  const int64_t turn;  // when a release is to give it the lock, should it be the first in the queue
  std::atomic<uint32_t> state{kAsleep};
  int64_t nap_ends = 0;
  bool queued = false;
  Waiter* next = nullptr;
  Waiter* previous = nullptr;  // the first one's is the last one

 private:
  Waiter(const ThreadIdentity& thread, uint32_t its_token, LoopWaker* waker, int64_t now, int64_t deadline)
      : self(&thread), token(its_token), loop(waker), turn(now + std::min(kFair, (deadline - now) / 2)) {}
};

// Whom to wake when the ShortLock is released: at most one thread, and several loops. A thread's waiter may be gone by
// then, and its word something else: whoever sleeps on a futex looks again when woken.
class Wakeup {
 public:
  bool HasRoomFor(const Waiter& waiter) const {
    return waiter.loop == nullptr ? word_ == nullptr : count_ < kMostLoops;
  }
  // There is room.
  void Add(Waiter* waiter, Waiter::State state) {
    waiter->state.store(state, std::memory_order_release);
    if (waiter->loop == nullptr) {
      word_ = &waiter->state;
    } else {
      waiter->loop->users.fetch_add(1);
      loops_[count_++] = waiter->loop;
    }
  }
  bool HasThread() const { return word_ != nullptr; }
  void Send() const {
    if (word_ != nullptr) FutexWake(word_, 1);
    for (int i = 0; i < count_; ++i) {
      loops_[i]->wake(loops_[i]);
      if (loops_[i]->users.fetch_sub(1) == 1) FutexWake(&loops_[i]->users, 1);
    }
  }

 private:
  // Loops beyond have to wait until one of those has had the lock, or has given up.
  static constexpr int kMostLoops = 16;

  std::atomic<uint32_t>* word_ = nullptr;
  LoopWaker* loops_[kMostLoops];
  int count_ = 0;
};

class LockQueue {
 public:
  constexpr LockQueue() = default;
  LockQueue(const LockQueue&) = delete;
  LockQueue& operator=(const LockQueue&) = delete;

  Waiter* first() const { return first_; }
  bool HasOthersThan(const Waiter* waiter) const {
    return first_ != nullptr && (first_ != waiter || waiter->next != nullptr);
  }
  void Append(Waiter* waiter) {
    waiter->queued = true;
    waiter->next = nullptr;
    waiter->previous = first_ == nullptr ? waiter : first_->previous;
    (first_ == nullptr ? first_ : first_->previous->next) = waiter;
    first_->previous = waiter;
  }
  void Prepend(Waiter* waiter) {
    waiter->queued = true;
    waiter->next = first_;
    waiter->previous = first_ == nullptr ? waiter : first_->previous;
    if (first_ != nullptr) first_->previous = waiter;
    first_ = waiter;
  }
  // Tells the first thread to look, and the loops around it: what one of those takes, its release tells the rest of. A
  // loop has its turn when it comes to it, which may be long; so nobody waits for that.
  void Rouse(Wakeup* wakeup) const {
    for (Waiter* waiter = first_; waiter != nullptr && wakeup->HasRoomFor(*waiter); waiter = waiter->next) {
      if (waiter->state.load(std::memory_order_relaxed) == Waiter::kAsleep) wakeup->Add(waiter, Waiter::kWoken);
    }
  }
  // Does nothing if it is not in the queue.
  void Remove(Waiter* waiter) {
    if (!waiter->queued) return;
    waiter->queued = false;
    (waiter->next == nullptr ? first_ : waiter->next)->previous = waiter->previous;
    (waiter == first_ ? first_ : waiter->previous->next) = waiter->next;
  }
  // As many as there is room for. Returns how many there are.
  size_t Tokens(uint32_t* tokens, size_t room) const {
    size_t count = 0;
    for (const Waiter* each = first_; each != nullptr; each = each->next, ++count) {
      if (count < room) tokens[count] = each->token;
    }
    return count;
  }
  // The child: those in it are the parent's.
  void Reset() { first_ = nullptr; }

 private:
  Waiter* first_ = nullptr;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_LOCK_QUEUE_H_

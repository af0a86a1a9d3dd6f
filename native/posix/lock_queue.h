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
  explicit LoopWaker(void (*waker)(LoopWaker*)) : wake(waker) {}

  void (*const wake)(LoopWaker*);
  std::atomic<uint32_t> users{0};
};

struct Waiter {
  enum State : uint32_t { kAsleep, kWoken, kGranted };

  // A thread's.
  explicit Waiter(const ThreadIdentity& thread) : self(&thread), token(thread.token) {}
  // An event loop's, on its own thread.
  Waiter(const ThreadIdentity& thread, LoopWaker* waker)
      : self(&thread), token(thread.token | kLoopOwner), loop(waker) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // A loop whose thread sleeps for some lock hears of nothing.
  bool CanAct() const { return loop == nullptr || self->entry == nullptr || self->entry->waits_for.load() == nullptr; }

  const ThreadIdentity* const self;
  const uint32_t token;  // in the word of the lock, once it is this waiter's
  LoopWaker* const loop = nullptr;
  const int64_t since = MonotonicNanos();
  std::atomic<uint32_t> state{kAsleep};
  bool queued = false;
  Waiter* next = nullptr;
  Waiter* previous = nullptr;
};

// Whom to wake when the ShortLock is released; at most one of each kind. A thread's waiter may be gone by then, and its
// word something else: whoever sleeps on a futex looks again when woken.
class Wakeup {
 public:
  void Add(Waiter* waiter, Waiter::State state) {
    waiter->state.store(state, std::memory_order_release);
    if (waiter->loop == nullptr) {
      word_ = &waiter->state;
    } else {
      loop_ = waiter->loop;
      loop_->users.fetch_add(1);
    }
  }
  bool HasThread() const { return word_ != nullptr; }
  bool HasLoop() const { return loop_ != nullptr; }
  void Send() const {
    if (word_ != nullptr) FutexWake(word_, 1);
    if (loop_ != nullptr) {
      loop_->wake(loop_);
      loop_->users.fetch_sub(1);
    }
  }

 private:
  std::atomic<uint32_t>* word_ = nullptr;
  LoopWaker* loop_ = nullptr;
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
    waiter->previous = last_;
    waiter->next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = waiter;
    last_ = waiter;
  }
  // Does nothing if it is not in the queue.
  void Remove(Waiter* waiter) {
    if (!waiter->queued) return;
    waiter->queued = false;
    (waiter->previous == nullptr ? first_ : waiter->previous->next) = waiter->next;
    (waiter->next == nullptr ? last_ : waiter->next->previous) = waiter->previous;
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
  void Reset() { first_ = last_ = nullptr; }

 private:
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_LOCK_QUEUE_H_

// fork_mutex.cc - a pthread mutex of another addon, which forks take with the locks.
// Runs in:  the forking thread; AfterForkChild on the only thread of the child; Abandon on a thread that ends.
// Calls:    pthread_mutex_clocklock(3), pthread_mutex_unlock(3); the addon's `orphaned` in the child. Allocates: no.
// Rests on: the fields of glibc's mutex, which static initialisers have made part of its ABI (bits/struct_mutex.h). The
//           owner is a tid: the child's thread has another one, and could not unlock what it holds.
#include "posix/fork_mutex.h"

#include <time.h>

#include <algorithm>

#include "posix/every_child.h"
#include "posix/process_state.h"

namespace atfork {
namespace {

// What glibc adds to a mutex's kind by itself, once it has been used with lock elision or without.
constexpr int kElision = 256 | 512;

constexpr int64_t kNanosPerSecond = 1000 * 1000 * 1000;

// What libc takes the calling thread for: in a thread that was brought back, the number that it had in the parent.
pid_t OwnTidInLibc() {
  pthread_mutex_t probe = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&probe);
  const pid_t owner = probe.__data.__owner;
  pthread_mutex_unlock(&probe);
  return owner;
}

}  // namespace

bool ForkMutex::IsSupported(const pthread_mutex_t& mutex) {
  switch (mutex.__data.__kind & ~kElision) {
    case PTHREAD_MUTEX_NORMAL:
    case PTHREAD_MUTEX_RECURSIVE:
    case PTHREAD_MUTEX_ERRORCHECK:
    case PTHREAD_MUTEX_ADAPTIVE_NP:
      return true;
    default:
      return false;
  }
}

AcquireStatus ForkMutex::AcquireForFork(const ThreadIdentity& self, const Patience& patience) {
  if (mutex_.load() == nullptr) return AcquireStatus::kAcquired;
  for (;;) {
    const int64_t now = MonotonicNanos();
    if (TakeOnce(self, std::min(patience.deadline, now + kForkingNap))) return AcquireStatus::kAcquired;
    if (MonotonicNanos() >= patience.deadline) return AcquireStatus::kTimedOut;
    // Whom its owner waits for, the mutex does not tell. It may be this thread: then that gives way.
    const Lock* const wanted = GetProcessState()->locks.HeldUpByFork(self);
    if (wanted == nullptr) continue;
    patience.circle->parts[0] = {wanted, self.token};
    patience.circle->count = 1;
    return AcquireStatus::kDeadlock;
  }
}

void ForkMutex::ReleaseAfterFork(const ThreadIdentity& self) {
  if (forker_.load() == self.token) EndLevel();
}

void ForkMutex::PrepareForFork(const ThreadIdentity& self, int64_t deadline) {
  if (mutex_.load() != nullptr) static_cast<void>(TakeOnce(self, deadline));
}

void ForkMutex::AfterForkParent(const ThreadIdentity& self) { ReleaseAfterFork(self); }

ATFORK_IN_EVERY_CHILD void ForkMutex::AfterForkChild(const ThreadIdentity& self) {
  if (forker_.load() == self.token) {
    taken_->__data.__owner = self.tid;
    return EndLevel();
  }
  forker_ = 0;
  pthread_mutex_t* const mutex = mutex_.load();
  if (mutex == nullptr) return;
  mutex->__data.__lock = 0;
  mutex->__data.__count = 0;
  mutex->__data.__owner = 0;
  mutex->__data.__nusers = 0;
  if (orphaned_ != nullptr) orphaned_(arg_);
}

void ForkMutex::Abandon() {
  pthread_mutex_t* const mutex = mutex_.load();
  if (mutex == nullptr || mutex->__data.__owner == 0 || mutex->__data.__owner != OwnTidInLibc()) return;
  if (orphaned_ != nullptr) orphaned_(arg_);
  while (mutex->__data.__owner == OwnTidInLibc() && pthread_mutex_unlock(mutex) == 0) continue;
}

// One more fork of this thread is under way, and nobody else has the mutex.
bool ForkMutex::TakeOnce(const ThreadIdentity& self, int64_t deadline) {
  if (forker_.load() == self.token) {
    ++levels_;
    return true;
  }
  pthread_mutex_t* const mutex = mutex_.load();
  const bool is_its_own = mutex->__data.__owner == self.tid;
  if (!is_its_own) {
    const timespec until = {deadline / kNanosPerSecond, deadline % kNanosPerSecond};
    if (pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until) != 0) return false;
  }
  taken_ = mutex;
  was_its_own_ = is_its_own;
  levels_ = 1;
  forker_ = self.token;
  return true;
}

void ForkMutex::EndLevel() {
  if (--levels_ > 0) return;
  forker_ = 0;
  if (!was_its_own_) pthread_mutex_unlock(taken_);
}

}  // namespace atfork

// The look at all threads that tells whether anybody may still go on.
#include "posix/stillness.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>

#include "posix/futex.h"
#include "test.h"

namespace {

using atfork::AllOthersSleep;

// A thread that waits for `lock`, which the test holds.
void* WaitFor(void* lock) {
  pthread_mutex_lock(static_cast<pthread_mutex_t*>(lock));
  pthread_mutex_unlock(static_cast<pthread_mutex_t*>(lock));
  return nullptr;
}

// A thread that is at work until it is told to stop.
void* Work(void* stop) {
  while (!static_cast<std::atomic<bool>*>(stop)->load()) {
  }
  return nullptr;
}

// Until the look says so, at most so many milliseconds: the threads have to get to their places first, and none can
// tell by a pipe that it has fallen asleep.
bool Becomes(bool expected, int milliseconds) {
  const int64_t deadline = atfork::DeadlineAfterMs(milliseconds);
  while (AllOthersSleep() != expected) {
    if (atfork::MonotonicNanos() > deadline) return false;
    usleep(1000);
  }
  return true;
}

}  // namespace

TEST(everybody_sleeps_who_waits_for_a_lock) {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&lock);
  pthread_t waiting;
  pthread_create(&waiting, nullptr, WaitFor, &lock);
  CHECK(Becomes(true, 10000));
  std::atomic<bool> stop{false};
  pthread_t working;
  pthread_create(&working, nullptr, Work, &stop);
  CHECK(!AllOthersSleep());
  stop = true;
  pthread_join(working, nullptr);
  CHECK(Becomes(true, 10000));
  pthread_mutex_unlock(&lock);
  pthread_join(waiting, nullptr);
}

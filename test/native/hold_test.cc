// hold_test.cc - how long a thread that was brought back is held.
// Runs in:  native_tests, whose main thread plays the forking one: held threads look whether it sleeps.
#include "child/hold.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <ctime>

#include "test.h"

namespace {

using atfork::child::Hold;
using atfork::child::Release;
using atfork::child::RestartRecord;

std::atomic<bool> ended{false};

void* Held(void* record) {
  Hold(static_cast<RestartRecord*>(record));
  ended.store(true);
  return nullptr;
}

int64_t NowMs() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

// Awake, so that it is not taken for stuck.
void StayAwake(int64_t milliseconds) {
  const int64_t until = NowMs() + milliseconds;
  while (NowMs() < until) {
  }
}

void CheckHeldUntilReleased(bool until_joined) {
  RestartRecord record = {};
  int word = 1;
  record.cleared_tid = &word;  // nobody joins it
  record.until_joined = until_joined;
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, nullptr, Held, &record), 0);
  StayAwake(100);
  CHECK(!ended.load());
  Release(&record);
  while (!ended.load()) StayAwake(1);
  CHECK_EQ(pthread_join(thread, nullptr), 0);
}

void CheckHeldUntilStuck(bool until_joined) {
  RestartRecord record = {};
  int word = 1;
  record.cleared_tid = &word;
  record.until_joined = until_joined;
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, nullptr, Held, &record), 0);
  CHECK_EQ(pthread_join(thread, nullptr), 0);  // asleep
}

// Abseil's way to wait for a lock: most of the time asleep, but not for long at a time. The naps are what is looked
// for.
void CheckHeldUntilNapping() {
  RestartRecord record = {};
  int word = 1;
  record.cleared_tid = &word;
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, nullptr, Held, &record), 0);
  const struct timespec nap = {0, 10 * 1000 * 1000};
  while (!ended.load()) {
    nanosleep(&nap, nullptr);
    StayAwake(1);
  }
  CHECK_EQ(pthread_join(thread, nullptr), 0);
}

}  // namespace

TEST(held_until_released) { CheckHeldUntilReleased(false); }
TEST(nested_held_until_released_and_not_for_ever) { CheckHeldUntilReleased(true); }
TEST(held_until_the_forking_thread_is_stuck) { CheckHeldUntilStuck(false); }
TEST(nested_held_until_the_forking_thread_is_stuck) { CheckHeldUntilStuck(true); }
TEST(held_until_the_forking_thread_waits_in_naps) { CheckHeldUntilNapping(); }

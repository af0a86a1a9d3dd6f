// fork_lock_test.cc - what another thread changes under a ForkLock is whole in the child of a fork, and a child of
// somebody else's fork does not wait for a thread that it has not got.
// Runs in:  native_tests; the forks are this test's.
#include "posix/fork_lock.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

namespace {

using atfork::ForkLock;

// Made by each test: its process is its own.
ForkLock* lock = nullptr;
// Equal whenever nobody is inside.
volatile int first = 0;
volatile int second = 0;
// StayInside says that it is there, and hears that it may leave.
int inside[2];
int leave[2];

void* ChangeForEver(void*) {
  for (;;) {
    const ForkLock::Guard guard(lock);
    first = first + 1;
    for (volatile int i = 0; i < 1000; i = i + 1) {
    }
    second = second + 1;
  }
}

void* StayInside(void*) {
  const ForkLock::Guard guard(lock);
  char byte = 0;
  CHECK_EQ(write(inside[1], &byte, 1), 1);
  CHECK_EQ(read(leave[0], &byte, 1), 1);
  return nullptr;
}

// The end of a child is bounded by main.cc.
void CheckChild(bool entered) {
  const ForkLock::Guard guard(lock);
  CHECK_EQ(guard.entered(), entered);
  if (entered) CHECK_EQ(first, second);
  _exit(0);
}

void CheckEnds(pid_t pid) {
  int status = 0;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
}

}  // namespace

TEST(fork_lock_is_whole_in_the_child) {
  lock = new ForkLock;
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, nullptr, ChangeForEver, nullptr), 0);
  for (int i = 0; i < 200; ++i) {
    lock->LockForFork();
    const pid_t pid = fork();
    {
      const ForkLock::Guard guard(lock);  // an at-fork handler of somebody else's, on this thread
      CHECK(guard.entered());
    }
    lock->UnlockAfterFork();
    if (pid == 0) CheckChild(true);
    CheckEnds(pid);
  }
}

// An at-fork handler may wait for a thread that waits here.
TEST(fork_lock_lets_a_thread_go_that_a_fork_waits_for) {
  lock = new ForkLock;
  lock->LockForFork();
  for (int i = 0; i < 2; ++i) {
    pthread_t thread;
    const auto enter = [](void*) -> void* {
      const ForkLock::Guard guard(lock);
      CHECK(!guard.entered());
      return nullptr;
    };
    CHECK_EQ(pthread_create(&thread, nullptr, enter, nullptr), 0);
    CHECK_EQ(pthread_join(thread, nullptr), 0);
  }
  lock->UnlockAfterFork();
  const ForkLock::Guard guard(lock);
  CHECK(guard.entered());
}

TEST(fork_lock_does_not_hold_up_a_child_of_somebody_else) {
  lock = new ForkLock;
  CHECK_EQ(pipe(inside), 0);
  CHECK_EQ(pipe(leave), 0);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, nullptr, StayInside, nullptr), 0);
  char byte = 0;
  CHECK_EQ(read(inside[0], &byte, 1), 1);
  const pid_t pid = fork();
  if (pid == 0) CheckChild(false);
  CheckEnds(pid);
  CHECK_EQ(write(leave[1], &byte, 1), 1);
  CHECK_EQ(pthread_join(thread, nullptr), 0);
  const ForkLock::Guard guard(lock);
  CHECK(guard.entered());
}

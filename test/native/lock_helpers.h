// lock_helpers.h - what the tests of the lock share.
#ifndef ATFORK_TEST_NATIVE_LOCK_HELPERS_H_
#define ATFORK_TEST_NATIVE_LOCK_HELPERS_H_

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>

#include "posix/futex.h"
#include "posix/process_lock.h"
#include "test.h"

namespace atfork::test {

inline constexpr uint32_t kWaitersBit = 1u << 31;
inline constexpr uint32_t kHeldBit = 1u << 29;

// The lock's word: tests ask for what the interface keeps to itself.
inline uint32_t WordOf(const ProcessLock& lock) {
  return static_cast<std::atomic<uint32_t>*>(const_cast<ProcessLock&>(lock).view())->load();
}

// By value: CHECK_EQ keeps references, and a member of a temporary optional does not live that long. All 0: no owner.
inline LockOwner OwnerOf(const Lock& lock) { return lock.Owner().value_or(LockOwner{}); }

// Returns once somebody has announced that it is going to sleep on the lock. The test's bound is main.cc's.
inline void AwaitWaiter(const ProcessLock& lock) {
  while ((WordOf(lock) & kWaitersBit) == 0) std::this_thread::yield();
}

// Returns once thread `tid` of this process sleeps.
inline void AwaitAsleep(pid_t tid) {
  const std::string path = "/proc/self/task/" + std::to_string(tid) + "/stat";
  for (char state = 0; state != 'S'; std::this_thread::yield()) {
    std::FILE* const file = std::fopen(path.c_str(), "re");
    CHECK(file != nullptr);
    CHECK_EQ(std::fscanf(file, "%*d (%*[^)]) %c", &state), 1);  // the name, of ours, has no parenthesis
    std::fclose(file);
  }
}

// A number that goes up, and threads that wait for it asleep: who yields instead may wait for long on a busy machine.
// Async-signal-safe.
class Stage {
 public:
  uint32_t value() const { return value_; }
  void Reach(uint32_t value) {
    value_ = value;
    FutexWake(&value_, INT_MAX);
  }
  void Await(uint32_t value) {
    for (uint32_t seen = value_; seen < value; seen = value_) static_cast<void>(FutexWait(&value_, seen, kNoDeadline));
  }

 private:
  std::atomic<uint32_t> value_{0};
};

// Another thread that takes something, and gives it back when it is told to.
class Elsewhere {
 public:
  // Returns when it has been taken.
  template <typename Take, typename Give>
  Elsewhere(Take take, Give give)
      : thread_([=] {
          take();
          stage_.Reach(1);
          stage_.Await(2);
          give();
        }) {
    stage_.Await(1);
  }
  ~Elsewhere() { End(); }
  // Once thread `tid` is asleep, as whoever waits for it is.
  void LetGoWhenAsleep(pid_t tid) {
    AwaitAsleep(tid);
    stage_.Reach(2);
  }
  // Returns when it has been given back.
  void End() {
    stage_.Reach(2);
    if (thread_.joinable()) thread_.join();
  }

 private:
  Stage stage_;
  std::thread thread_;
};

// With what fork(2) or its like has returned: the child runs `body` and then ends with 0.
template <typename Body>
pid_t RunIfChild(pid_t pid, Body body) {
  CHECK(pid >= 0);
  if (pid == 0) {
    alarm(20);  // below the bound on the test, so that the test can name the child that hangs
    body();
    _exit(0);
  }
  return pid;
}

template <typename Body>
pid_t Fork(Body body) {
  return RunIfChild(fork(), body);
}

// Ends the test unless child `pid` ends with exit code 0.
inline void CheckChild(pid_t pid) {
  int status = 0;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
}

}  // namespace atfork::test

#endif  // ATFORK_TEST_NATIVE_LOCK_HELPERS_H_

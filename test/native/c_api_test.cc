// c_api_test.cc - atfork.h as another addon uses it: locks, handlers, mutexes and sections, with real forks.
// Runs in:  native_tests, each test in a process of its own.
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <thread>

#include "include/atfork.h"
#include "lock_helpers.h"
#include "posix/at_fork_hook.h"
#include "posix/process_state.h"
#include "test.h"

extern "C" const atfork_api* atfork_get_api_v1();

namespace {

using atfork::AcquireStatus;
using atfork::DeadlineAfterMs;
using atfork::FinishOwnFork;
using atfork::kNoDeadline;
using atfork::LocksRefusal;
using atfork::PrepareOwnFork;
using atfork::test::AwaitAsleep;
using atfork::test::CheckChild;
using atfork::test::Elsewhere;
using atfork::test::Fork;
using atfork::test::Stage;

const atfork_api& api = *atfork_get_api_v1();

// What fork() of this library does; the child runs `body`.
template <typename Body>
void ForkOurs(Body body) {
  LocksRefusal refusal;
  CHECK(PrepareOwnFork(kNoDeadline, &refusal));
  const pid_t pid = Fork([&] {
    FinishOwnFork();
    body();
  });
  FinishOwnFork();
  CheckChild(pid);
}

template <typename Body>
void ForkBothWays(Body body) {
  ForkOurs(body);
  CheckChild(Fork(body));
}

atfork_lock* Named(const char* name, int rank = 0) {
  atfork_lock* lock = nullptr;
  CHECK_EQ(api.named_lock(name, rank, &lock), 0);
  return lock;
}

class Mutex {
 public:
  explicit Mutex(int kind, const char* name = "mutex", int rank = 0, void (*orphaned)(void*) = nullptr) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, kind);
    pthread_mutex_init(&mutex_, &attributes);
    CHECK_EQ(api.add_mutex(&mutex_, name, rank, orphaned, this), 0);
  }
  pthread_mutex_t* get() { return &mutex_; }
  void Lock() { CHECK_EQ(pthread_mutex_lock(&mutex_), 0); }
  void Unlock() { CHECK_EQ(pthread_mutex_unlock(&mutex_), 0); }
  void CheckFree() {
    CHECK_EQ(pthread_mutex_trylock(&mutex_), 0);
    Unlock();
  }

 private:
  pthread_mutex_t mutex_;
};

TEST(api_says_what_it_is) {
  CHECK_EQ(api.version, uint32_t{ATFORK_API_VERSION});
  CHECK_EQ(api.size, sizeof(atfork_api));
  CHECK(ATFORK_HAS(&api, allow_fork));
}

TEST(api_locks_are_recursive_and_say_no_to_misuse) {
  atfork_lock* const lock = Named("lock", 3);
  CHECK(Named("lock", 3) == lock);
  atfork_lock* other = nullptr;
  CHECK_EQ(api.named_lock("lock", 4, &other), EINVAL);
  CHECK_EQ(api.named_lock("", 0, &other), EINVAL);
  CHECK_EQ(api.named_lock(std::string(256, 'x').c_str(), 0, &other), EINVAL);
  for (atfork_lock* const each : {lock, api.global_lock()}) {
    CHECK_EQ(api.unlock(each), EPERM);
    CHECK_EQ(api.make_consistent(each), EPERM);
    CHECK_EQ(api.lock(each), 0);
    CHECK_EQ(api.timed_lock(each, 0), 0);
    CHECK_EQ(api.owns(each), 1);
    std::thread([&] {
      CHECK_EQ(api.owns(each), 0);
      CHECK_EQ(api.timed_lock(each, 0), EBUSY);
      CHECK_EQ(api.timed_lock(each, 1000 * 1000), ETIMEDOUT);
      CHECK_EQ(api.unlock(each), EPERM);
    }).join();
    CHECK_EQ(api.unlock(each), 0);
    CHECK_EQ(api.unlock(each), 0);
    CHECK_EQ(api.owns(each), 0);
    std::thread([&] { CHECK_EQ(api.lock(each), 0); }).join();
    CHECK_EQ(api.timed_lock(each, -1), EOWNERDEAD);
    CHECK_EQ(api.make_consistent(each), 0);
    CHECK_EQ(api.unlock(each), 0);
    std::thread([&] { CHECK_EQ(api.lock(each), 0); }).join();
    CHECK_EQ(api.lock(each), EOWNERDEAD);
    CHECK_EQ(api.unlock(each), 0);
    CHECK_EQ(api.lock(each), ENOTRECOVERABLE);
  }
}

TEST(api_leaves_errno_alone) {
  errno = 1234;
  uint32_t id = 0;
  atfork_handlers none = {0, nullptr, nullptr, nullptr, nullptr};
  CHECK_EQ(api.add_handlers(&none, &id), 0);
  Named("lock");
  CHECK_EQ(api.lock(api.global_lock()), 0);
  std::thread([] { CHECK_EQ(api.timed_lock(api.global_lock(), 1000), ETIMEDOUT); }).join();
  CHECK_EQ(api.unlock(api.global_lock()), 0);
  CHECK_EQ(errno, 1234);
}

std::string trace;

atfork_handlers Tracing(int rank, const char* name) {
  return {rank, [](void* arg) { trace += "<" + std::string(static_cast<const char*>(arg)); },
          [](void* arg) { trace += ">" + std::string(static_cast<const char*>(arg)); },
          [](void* arg) { trace += "*" + std::string(static_cast<const char*>(arg)); }, const_cast<char*>(name)};
}

uint32_t AddHandlers(const atfork_handlers& handlers) {
  uint32_t id = 0;
  CHECK_EQ(api.add_handlers(&handlers, &id), 0);
  return id;
}

TEST(api_handlers_run_once_around_every_fork) {
  const uint32_t a = AddHandlers(Tracing(0, "a"));
  AddHandlers(Tracing(0, "b"));
  AddHandlers(Tracing(-1, "outer"));
  AddHandlers(Tracing(ATFORK_LOCKS_RANK, "inner"));
  trace.clear();
  ForkOurs([] { CHECK_EQ(trace, "<outer<b<a<inner*inner*a*b*outer"); });
  CHECK_EQ(trace, "<outer<b<a<inner>inner>a>b>outer");
  trace.clear();
  CheckChild(Fork([] { CHECK_EQ(trace, "<outer<b<a<inner*inner*a*b*outer"); }));
  CHECK_EQ(trace, "<outer<b<a<inner>inner>a>b>outer");
  CHECK_EQ(api.remove_handlers(a), 0);
  CHECK_EQ(api.remove_handlers(a), EINVAL);
  CHECK_EQ(api.remove_handlers(999), EINVAL);
  trace.clear();
  ForkOurs([] {});
  CHECK_EQ(trace, "<outer<b<inner>inner>b>outer");
}

// Whoever prepared hears that it was for nothing; whoever would have come after the locks, nothing.
TEST(api_handlers_hear_of_a_fork_that_is_refused) {
  AddHandlers(Tracing(0, "outer"));
  AddHandlers(Tracing(ATFORK_LOCKS_RANK, "inner"));
  const Elsewhere holder([] { CHECK_EQ(api.lock(api.global_lock()), 0); },
                         [] { CHECK_EQ(api.unlock(api.global_lock()), 0); });
  trace.clear();
  LocksRefusal refusal;
  CHECK(!PrepareOwnFork(DeadlineAfterMs(10), &refusal));
  CHECK_EQ(trace, "<outer>outer");
}

bool locks_were_held = true;

TEST(api_handlers_of_a_high_rank_prepare_inside_the_locks) {
  for (const int rank : {ATFORK_LOCKS_RANK - 1, ATFORK_LOCKS_RANK}) {
    const auto look = [](void*) { locks_were_held = atfork::GetProcessState()->global_lock.IsHeld(); };
    const uint32_t id = AddHandlers({rank, look, nullptr, nullptr, nullptr});
    ForkOurs([] {});
    CHECK_EQ(locks_were_held, rank == ATFORK_LOCKS_RANK);
    CheckChild(Fork([] {}));
    CHECK_EQ(locks_were_held, rank == ATFORK_LOCKS_RANK);
    CHECK_EQ(api.remove_handlers(id), 0);
  }
}

Stage handler_stage;

// Once it is removed, no thread is in a handler any more: what it works on may be freed.
TEST(api_handlers_are_done_when_they_have_been_removed) {
  const uint32_t id = AddHandlers({0,
                                   [](void*) {
                                     handler_stage.Reach(1);
                                     handler_stage.Await(2);
                                   },
                                   [](void*) { handler_stage.Reach(3); }, nullptr, nullptr});
  std::thread forker([] { CheckChild(Fork([] {})); });
  handler_stage.Await(1);
  std::thread later([tid = gettid()] {
    AwaitAsleep(tid);
    handler_stage.Reach(2);
  });
  CHECK_EQ(api.remove_handlers(id), 0);
  CHECK_EQ(handler_stage.value(), 3u);
  forker.join();
  later.join();
}

TEST(api_mutex_is_as_deep_on_both_sides_of_a_fork) {
  Mutex normal(PTHREAD_MUTEX_NORMAL);
  Mutex recursive(PTHREAD_MUTEX_RECURSIVE);
  Mutex checked(PTHREAD_MUTEX_ERRORCHECK);
  Mutex adaptive(PTHREAD_MUTEX_ADAPTIVE_NP);
  Mutex free(PTHREAD_MUTEX_ERRORCHECK);
  const auto check = [&] {
    for (Mutex* const each : {&normal, &recursive, &checked, &adaptive}) {
      std::thread([&] { CHECK_EQ(pthread_mutex_trylock(each->get()), EBUSY); }).join();
      each->Unlock();
    }
    std::thread([&] { CHECK_EQ(pthread_mutex_trylock(recursive.get()), EBUSY); }).join();
    recursive.Unlock();
    CHECK_EQ(pthread_mutex_unlock(recursive.get()), EPERM);
    for (Mutex* const each : {&normal, &recursive, &checked, &adaptive, &free}) each->CheckFree();
    // Whose it is now, is right, too.
    checked.Lock();
    CHECK_EQ(pthread_mutex_lock(checked.get()), EDEADLK);
    checked.Unlock();
  };
  const auto lock = [&] {
    for (Mutex* const each : {&normal, &recursive, &recursive, &checked, &adaptive}) each->Lock();
  };
  lock();
  ForkOurs([&] {
    CheckChild(Fork(check));
    check();
  });
  CheckChild(Fork(check));
  check();
}

TEST(api_mutex_of_another_thread_is_waited_for) {
  Mutex mutex(PTHREAD_MUTEX_NORMAL, "the mutex");
  Elsewhere holder([&] { mutex.Lock(); }, [&] { mutex.Unlock(); });
  LocksRefusal refusal;
  CHECK(!PrepareOwnFork(DeadlineAfterMs(20), &refusal));
  CHECK(refusal.status == AcquireStatus::kTimedOut);
  CHECK_EQ(std::string(refusal.participant->name), "the mutex");
  std::thread later([&, tid = gettid()] { holder.LetGoWhenAsleep(tid); });
  ForkOurs([&] { mutex.CheckFree(); });
  later.join();
  holder.End();
  mutex.CheckFree();
}

std::atomic<int> orphans{0};

TEST(api_mutex_of_a_thread_that_ends_is_given_back) {
  for (const int kind : {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK}) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, kind);
    pthread_mutex_t mutex;
    CHECK_EQ(pthread_mutex_init(&mutex, &attributes), 0);
    std::atomic<int> told{0};
    const auto tell = [](void* count) { static_cast<std::atomic<int>*>(count)->fetch_add(1); };
    CHECK_EQ(api.add_mutex(&mutex, "mutex", 0, tell, &told), 0);
    std::thread([&] {
      CHECK_EQ(api.lock(api.global_lock()), 0);
      CHECK_EQ(api.unlock(api.global_lock()), 0);
      CHECK_EQ(pthread_mutex_lock(&mutex), 0);
      if (kind == PTHREAD_MUTEX_RECURSIVE) CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    }).join();
    CHECK_EQ(told.load(), 1);
    CHECK_EQ(pthread_mutex_trylock(&mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
    // What another thread holds stays its own.
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    std::thread([&] {
      CHECK_EQ(api.lock(api.global_lock()), 0);
      CHECK_EQ(api.unlock(api.global_lock()), 0);
    }).join();
    CHECK_EQ(told.load(), 1);
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
    CHECK_EQ(api.remove_mutex(&mutex), 0);
  }
}

TEST(api_mutex_that_a_foreign_fork_does_not_get_is_free_in_the_child_which_is_told) {
  Mutex mutex(PTHREAD_MUTEX_ERRORCHECK, "mutex", 0, [](void*) { ++orphans; });
  ForkBothWays([] { CHECK_EQ(orphans, 0); });
  Elsewhere holder([&] { mutex.Lock(); }, [&] { mutex.Unlock(); });
  CheckChild(Fork([&] {
    CHECK_EQ(orphans, 1);
    mutex.CheckFree();
    ForkBothWays([&] {
      CHECK_EQ(orphans, 1);
      mutex.CheckFree();
    });
  }));
  CHECK_EQ(orphans, 0);
  CHECK_EQ(pthread_mutex_trylock(mutex.get()), EBUSY);
  holder.End();
}

// A thread holds the mutex, and waits for a lock that the fork has taken by then.
TEST(fork_gives_way_to_the_holder_of_a_mutex) {
  atfork_lock* const lock = Named("lock", 1);
  Mutex mutex(PTHREAD_MUTEX_NORMAL, "mutex", 2);
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) {
      mutex.Lock();
      std::this_thread::yield();
      CHECK_EQ(api.lock(lock), 0);
      CHECK_EQ(api.unlock(lock), 0);
      mutex.Unlock();
    }
  });
  for (int i = 0; i < 100; ++i) ForkOurs([&] { mutex.CheckFree(); });
  stop = true;
  other.join();
}

TEST(api_mutex_that_was_removed_is_left_alone) {
  Mutex mutex(PTHREAD_MUTEX_NORMAL);
  CHECK_EQ(api.add_mutex(mutex.get(), "again", 0, nullptr, nullptr), EEXIST);
  CHECK_EQ(api.remove_mutex(mutex.get()), 0);
  CHECK_EQ(api.remove_mutex(mutex.get()), EINVAL);
  Elsewhere holder([&] { mutex.Lock(); }, [&] { mutex.Unlock(); });
  ForkBothWays([&] { CHECK_EQ(pthread_mutex_trylock(mutex.get()), EBUSY); });
  holder.End();
  CHECK_EQ(api.add_mutex(mutex.get(), "again", 0, nullptr, nullptr), 0);
  ForkBothWays([&] { mutex.CheckFree(); });
}

TEST(api_refuses_mutexes_that_no_child_could_make_its_own) {
  pthread_mutexattr_t robust, shared, inheriting;
  pthread_mutexattr_init(&robust);
  pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_init(&shared);
  pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_init(&inheriting);
  pthread_mutexattr_setprotocol(&inheriting, PTHREAD_PRIO_INHERIT);
  for (const pthread_mutexattr_t* const attributes : {&robust, &shared, &inheriting}) {
    pthread_mutex_t mutex;
    CHECK_EQ(pthread_mutex_init(&mutex, attributes), 0);
    CHECK_EQ(api.add_mutex(&mutex, "mutex", 0, nullptr, nullptr), EINVAL);
  }
}

TEST(api_holds_forks_off) {
  const auto may_fork = [] { return atfork::GetProcessState()->fork_permit.Check(atfork::ThisThread()).ok(); };
  CHECK_EQ(api.prevent_fork(), 0);
  CHECK_EQ(api.prevent_fork(), 0);
  api.allow_fork();
  CHECK(!may_fork());
  api.allow_fork();
  CHECK(may_fork());
  std::thread([] { CHECK_EQ(api.prevent_fork(), 0); }).join();
  CHECK(may_fork());  // the thread has ended
}

}  // namespace

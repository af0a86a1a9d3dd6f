// semantics_locks_test.cc - what becomes of locks of glibc in the child of a fork, beside those of this library.
// Runs in:  native_tests, each test in a process of its own.
// man:      pthread_mutex_lock(3p), pthread_cond_destroy(3p), sem_overview(7), pthread_rwlock_unlock(3p).
#include <semaphore.h>

#include <cerrno>

#include "lock_helpers.h"
#include "semantics_helpers.h"

namespace {

using atfork::test::Atfork;
using atfork::test::AwaitAsleep;
using atfork::test::CheckChild;
using atfork::test::Elsewhere;
using atfork::test::Ends;
using atfork::test::ErrorName;
using atfork::test::Fork;
using atfork::test::Glibc;
using atfork::test::NewMutex;
using atfork::test::Posix;
using atfork::test::Saw;
using atfork::test::Shared;
using atfork::test::Stage;

// Long ago, by any clock.
constexpr timespec kPast = {1, 0};

// A thread that holds `mutex`.
class Holder : public Elsewhere {
 public:
  explicit Holder(pthread_mutex_t* mutex)
      : Elsewhere([=] { CHECK_EQ(pthread_mutex_lock(mutex), 0); }, [=] { CHECK_EQ(pthread_mutex_unlock(mutex), 0); }) {}
};

CLAIM(mutex_of_a_thread_that_the_child_has_not_got, "locks", "Another thread holds a mutex",
      Posix("fork(): the child has a copy of the memory, \"possibly including the states of mutexes\""),
      Glibc("locked for ever: pthread_mutex_trylock says EBUSY, pthread_mutex_lock never returns"),
      Atfork("fork() of this package waits for the holder, or is refused. In any other fork's child the lock is to be "
             "had at once, orphaned: EOWNERDEAD; a mutex of `add_mutex` is free, and its owner is told"),
      "our_fork_waits_for_the_holder our_fork_gives_up_at_its_deadline_and_nothing_has_changed "
      "foreign_fork_does_not_wait_for_a_holder_and_its_child_is_told "
      "api_mutex_that_a_foreign_fork_does_not_get_is_free_in_the_child_which_is_told");
TEST(mutex_of_a_thread_that_the_child_has_not_got) {
  for (const int kind : {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK}) {
    pthread_mutex_t* const mutex = NewMutex(kind);
    Holder holder(mutex);
    CheckChild(Fork([=] { CHECK_EQ(pthread_mutex_trylock(mutex), EBUSY); }));
    CHECK(!Ends(Fork([=] { pthread_mutex_lock(mutex); })));
  }
}

CLAIM(plain_mutex_of_the_forking_thread, "locks",
      "The forking thread holds a PTHREAD_MUTEX_NORMAL, and unlocks it there",
      Posix("pthread_atfork(): no unlocking function but sem_post() is async-signal-safe, so undefined in the child of "
            "a process with threads"),
      Glibc("works: it has no owner"), Atfork("works"), "fork_keeps_what_the_forking_thread_holds_and_frees_the_rest");
TEST(plain_mutex_of_the_forking_thread) {
  pthread_mutex_t* const mutex = NewMutex(PTHREAD_MUTEX_NORMAL);
  CHECK_EQ(pthread_mutex_lock(mutex), 0);
  CheckChild(Fork([=] {
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
    CHECK_EQ(pthread_mutex_trylock(mutex), 0);
  }));
  CHECK_EQ(pthread_mutex_unlock(mutex), 0);
}

CLAIM(recursive_mutex_of_the_forking_thread, "locks", "The forking thread holds a recursive mutex, twice",
      Posix("pthread_mutex_unlock(): EPERM for who is not the owner; fork() does not say who owns it in the child"),
      Glibc("its owner is a tid, and the child's is another: unlock says EPERM, trylock EBUSY, lock hangs"),
      Atfork("its locks are as deep on both sides, at any depth; mutexes of `add_mutex` too"),
      "lock_held_by_the_forking_thread_stays_as_deep_on_both_sides api_mutex_is_as_deep_on_both_sides_of_a_fork");
TEST(recursive_mutex_of_the_forking_thread) {
  pthread_mutex_t* const mutex = NewMutex(PTHREAD_MUTEX_RECURSIVE);
  for (int i = 0; i < 2; ++i) CHECK_EQ(pthread_mutex_lock(mutex), 0);
  CheckChild(Fork([=] {
    CHECK_EQ(pthread_mutex_unlock(mutex), EPERM);
    CHECK_EQ(pthread_mutex_trylock(mutex), EBUSY);
  }));
  CHECK(!Ends(Fork([=] { pthread_mutex_lock(mutex); })));
  for (int i = 0; i < 2; ++i) CHECK_EQ(pthread_mutex_unlock(mutex), 0);
}

CLAIM(errorcheck_mutex_of_the_forking_thread, "locks", "The forking thread holds an errorcheck mutex",
      Posix("pthread_mutex_lock(): EDEADLK for the owner"),
      Glibc("unlock says EPERM; lock does not say EDEADLK, as it would in the parent, but hangs"),
      Atfork("held: what the parent may do with it, the child may"), "api_mutex_is_as_deep_on_both_sides_of_a_fork");
TEST(errorcheck_mutex_of_the_forking_thread) {
  pthread_mutex_t* const mutex = NewMutex(PTHREAD_MUTEX_ERRORCHECK);
  CHECK_EQ(pthread_mutex_lock(mutex), 0);
  CHECK_EQ(pthread_mutex_lock(mutex), EDEADLK);
  CheckChild(Fork([=] { CHECK_EQ(pthread_mutex_unlock(mutex), EPERM); }));
  CHECK(!Ends(Fork([=] { pthread_mutex_lock(mutex); })));
  CHECK_EQ(pthread_mutex_unlock(mutex), 0);
}

CLAIM(robust_mutex_is_not_orphaned_by_a_fork, "locks", "A thread, the forking one or another, holds a robust mutex",
      Posix("pthread_mutex_lock(): EOWNERDEAD when the owning thread has terminated; one that was not copied has not"),
      Glibc("no EOWNERDEAD in the child, which is not on the owner's list: trylock EBUSY, timedlock ETIMEDOUT, unlock "
            "EPERM, lock hangs"),
      Atfork("held by the forking thread: held. By another: EOWNERDEAD at the first acquire, and make_consistent() "
             "repairs it"),
      "foreign_fork_does_not_wait_for_a_holder_and_its_child_is_told "
      "lock_held_by_the_forking_thread_stays_as_deep_on_both_sides");
TEST(robust_mutex_is_not_orphaned_by_a_fork) {
  pthread_mutex_t* const own = NewMutex(PTHREAD_MUTEX_NORMAL, true);
  pthread_mutex_t* const others = NewMutex(PTHREAD_MUTEX_NORMAL, true);
  CHECK_EQ(pthread_mutex_lock(own), 0);
  Holder holder(others);
  for (pthread_mutex_t* const mutex : {own, others}) {
    CheckChild(Fork([=] {
      CHECK_EQ(pthread_mutex_trylock(mutex), EBUSY);
      CHECK_EQ(pthread_mutex_timedlock(mutex, &kPast), ETIMEDOUT);
      CHECK_EQ(pthread_mutex_unlock(mutex), EPERM);
    }));
    CHECK(!Ends(Fork([=] { pthread_mutex_lock(mutex); })));
  }
  CHECK_EQ(pthread_mutex_unlock(own), 0);
}

CLAIM(robust_mutex_in_shared_memory_is_the_parents, "locks",
      "The forking thread holds a robust, process-shared mutex in shared memory",
      Posix("pthread_mutex_lock(): EOWNERDEAD when the owner's process has terminated"),
      Glibc("it is the parent's: the child cannot unlock it (EPERM), and gets EOWNERDEAD when the parent ends"),
      Atfork("not for memory that processes share"));
TEST(robust_mutex_in_shared_memory_is_the_parents) {
  pthread_mutex_t* const mutex = NewMutex(PTHREAD_MUTEX_NORMAL, true, true);
  int child_has_looked[2], test_goes_on[2];
  CHECK_EQ(pipe(child_has_looked), 0);
  CHECK_EQ(pipe(test_goes_on), 0);
  char byte = 0;
  CheckChild(Fork([&] {
    CHECK_EQ(pthread_mutex_lock(mutex), 0);
    Fork([&] {
      CHECK_EQ(pthread_mutex_unlock(mutex), EPERM);
      CHECK_EQ(pthread_mutex_trylock(mutex), EBUSY);
      CHECK_EQ(write(child_has_looked[1], &byte, 1), 1);
      CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);  // its parent ends
      CHECK_EQ(pthread_mutex_consistent(mutex), 0);
      CHECK_EQ(pthread_mutex_unlock(mutex), 0);
      CHECK_EQ(write(test_goes_on[1], &byte, 1), 1);
    });
    CHECK_EQ(read(child_has_looked[0], &byte, 1), 1);
  }));
  close(test_goes_on[1]);
  CHECK_EQ(read(test_goes_on[0], &byte, 1), 1);  // nothing, if the grandchild has failed
  CHECK_EQ(pthread_mutex_trylock(mutex), 0);
}

CLAIM(robust_mutex_that_is_lost_says_so_only_once, "locks",
      "A robust mutex was not repaired, and is tried, not waited for",
      Posix("pthread_mutex_trylock(): ENOTRECOVERABLE"),
      Glibc("the first pthread_mutex_trylock says ENOTRECOVERABLE and leaves it locked: the next says EBUSY, a timed "
            "wait ETIMEDOUT"),
      Atfork("ENOTRECOVERABLE for ever, in every child too"),
      "orphan_released_without_repair_is_lost_for_all lock_that_is_lost_stays_lost_in_the_child_and_hinders_no_fork");
TEST(robust_mutex_that_is_lost_says_so_only_once) {
  pthread_mutex_t* const mutex = NewMutex(PTHREAD_MUTEX_NORMAL, true);
  std::thread([=] { CHECK_EQ(pthread_mutex_lock(mutex), 0); }).join();
  CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
  CHECK_EQ(pthread_mutex_unlock(mutex), 0);
  CHECK_EQ(pthread_mutex_trylock(mutex), ENOTRECOVERABLE);
  int again = 0, timed = 0;
  std::thread([&] {
    again = pthread_mutex_trylock(mutex);
    timed = pthread_mutex_timedlock(mutex, &kPast);
  }).join();
  // Or as POSIX has it.
  CHECK((again == EBUSY && timed == ETIMEDOUT) || (again == ENOTRECOVERABLE && timed == ENOTRECOVERABLE));
  Saw(ErrorName(again) + ", " + ErrorName(timed));
}

CLAIM(condition_variable_with_waiters, "locks", "Threads wait on a condition variable",
      Posix("pthread_cond_destroy(): undefined while threads are blocked on it; fork() does not speak of waiters"),
      Glibc("it counts waiters that are not there: signal and broadcast wake nobody, pthread_cond_destroy waits for "
            "them for ever"),
      Atfork("the queues of its locks are empty in the child: a release makes no system call"),
      "queue_of_waiters_does_not_come_along");
TEST(condition_variable_with_waiters) {
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static Stage waits;
  static bool over = false;
  std::thread waiter([] {
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    waits.Reach(static_cast<uint32_t>(syscall(SYS_gettid)));
    while (!over) CHECK_EQ(pthread_cond_wait(&condition, &mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
  });
  waits.Await(1);
  AwaitAsleep(static_cast<pid_t>(waits.value()));
  CHECK_EQ(pthread_mutex_lock(&mutex), 0);  // so it has given it up for its wait
  const bool ends = Ends(Fork([] {
    CHECK_EQ(pthread_cond_signal(&condition), 0);
    CHECK_EQ(pthread_cond_broadcast(&condition), 0);
    pthread_cond_destroy(&condition);
  }));
  CHECK(!ends);
  over = true;
  CHECK_EQ(pthread_cond_signal(&condition), 0);
  CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
  waiter.join();
  CHECK_EQ(pthread_cond_destroy(&condition), 0);
}

CLAIM(
    semaphore_of_a_process_is_copied, "locks", "Another thread has taken the last permit of a semaphore",
    Posix("fork(): semaphores that are open in the parent are open in the child; sem_init(): with pshared 0 it is for "
          "the threads of one process"),
    Glibc("with pshared 0 the child has a copy, whose permit nobody gives back: sem_trywait says EAGAIN, sem_wait "
          "hangs. With pshared 1 in shared memory there is one for both, and the parent's sem_post wakes the child"),
    Atfork("a semaphore knows its holders: the child has the permits of the forking thread, and the others are free "
           "again, the semaphore orphaned"),
    "what_a_loop_holds_is_orphaned_in_the_child permit_that_was_taken_before_an_owner_died_is_given_back_in_peace "
    "foreign_fork_waits_for_all_locks_together_and_orphans_what_it_does_not_get");
TEST(semaphore_of_a_process_is_copied) {
  static sem_t own;
  sem_t* const shared = Shared<sem_t>();
  CHECK_EQ(sem_init(&own, 0, 1), 0);
  CHECK_EQ(sem_init(shared, 1, 1), 0);
  Elsewhere holder([=] { CHECK(sem_wait(&own) == 0 && sem_wait(shared) == 0); },
                   [=] { CHECK(sem_post(&own) == 0 && sem_post(shared) == 0); });
  CHECK(!Ends(Fork([] {
    CHECK(sem_trywait(&own) == -1 && errno == EAGAIN);
    sem_wait(&own);
  })));
  const pid_t waits = Fork([=] {
    CHECK(sem_wait(shared) == 0);
    CHECK(sem_trywait(&own) == -1 && errno == EAGAIN);
  });
  holder.End();
  CheckChild(waits);
  CHECK_EQ(sem_trywait(&own), 0);
  CHECK(sem_trywait(shared) == -1 && errno == EAGAIN);
}

CLAIM(rwlock_read_by_a_lost_thread, "locks", "Another thread holds a read-write lock for reading",
      Posix("pthread_rwlock_trywrlock(): EBUSY while it is held for reading"),
      Glibc("readers get in; a writer never does: trywrlock EBUSY, timedwrlock ETIMEDOUT, wrlock hangs"),
      Atfork("has none; `namedSemaphore` is the nearest"));
TEST(rwlock_read_by_a_lost_thread) {
  static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  Elsewhere reader([] { CHECK_EQ(pthread_rwlock_rdlock(&lock), 0); },
                   [] { CHECK_EQ(pthread_rwlock_unlock(&lock), 0); });
  CHECK(!Ends(Fork([] {
    CHECK_EQ(pthread_rwlock_tryrdlock(&lock), 0);
    CHECK_EQ(pthread_rwlock_unlock(&lock), 0);
    CHECK_EQ(pthread_rwlock_trywrlock(&lock), EBUSY);
    CHECK_EQ(pthread_rwlock_timedwrlock(&lock, &kPast), ETIMEDOUT);
    pthread_rwlock_wrlock(&lock);
  })));
}

CLAIM(
    rwlock_written_by_the_forking_thread, "locks", "The forking thread holds a read-write lock for writing",
    Posix("pthread_rwlock_unlock(): undefined for a thread that does not hold it"),
    Glibc("its writer is a tid, which the child's thread does not have: it unlocks as a reader would, says 0, and the "
          "lock is broken: nobody can read or write any more"),
    Atfork("has none; a lock that the forking thread holds is released on both sides"),
    "lock_held_by_the_forking_thread_stays_as_deep_on_both_sides");
TEST(rwlock_written_by_the_forking_thread) {
  static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  CHECK_EQ(pthread_rwlock_wrlock(&lock), 0);
  CheckChild(Fork([] {
    CHECK_EQ(pthread_rwlock_unlock(&lock), 0);
    CHECK_EQ(pthread_rwlock_tryrdlock(&lock), EBUSY);
    CHECK_EQ(pthread_rwlock_trywrlock(&lock), EBUSY);
  }));
  CHECK_EQ(pthread_rwlock_unlock(&lock), 0);
  CHECK_EQ(pthread_rwlock_trywrlock(&lock), 0);
}

}  // namespace

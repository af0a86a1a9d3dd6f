// semantics_threads_test.cc - what of threads and of libc's state comes along into the child of a fork.
// Runs in:  native_tests, each test in a process of its own. man: pthread_key_create(3p), flockfile(3),
//           pthread_once(3p).
#include <vector>

#include "lock_helpers.h"
#include "posix/process_state.h"
#include "semantics_helpers.h"

namespace {

using atfork::test::Atfork;
using atfork::test::CheckChild;
using atfork::test::Elsewhere;
using atfork::test::Fork;
using atfork::test::Glibc;
using atfork::test::Posix;
using atfork::test::Shared;
using atfork::test::Stage;

int Tasks() {
  DIR* const folder = opendir("/proc/self/task");
  CHECK(folder != nullptr);
  int count = 0;
  while (const dirent* const entry = readdir(folder)) count += entry->d_name[0] != '.' ? 1 : 0;
  closedir(folder);
  return count;
}

CLAIM(only_the_forking_thread_comes_along, "threads", "The process has threads",
      Posix("fork(): \"A process shall be created with a single thread\", \"a replica of the calling thread\""),
      Glibc("that one, with a new tid, which is the pid; it can start others"),
      Atfork("locks know a thread by a token that a fork does not change, so what it held it can release"),
      "fork_of_a_free_lock_is_a_free_lock lock_held_by_the_forking_thread_stays_as_deep_on_both_sides");
TEST(only_the_forking_thread_comes_along) {
  Elsewhere other([] {}, [] {});
  std::thread([] {
    CHECK(Tasks() >= 3);
    const uint32_t token = atfork::ThisThread().token;
    CheckChild(Fork([=] {
      CHECK_EQ(Tasks(), 1);
      CHECK_EQ(static_cast<pid_t>(syscall(SYS_gettid)), getpid());
      CHECK_EQ(atfork::ThisThread().token, token);
      std::thread([] { CHECK_EQ(Tasks(), 2); }).join();
    }));
  }).join();
}

CLAIM(thread_specific_data_of_lost_threads_is_leaked, "threads", "Threads have thread-specific data with a destructor",
      Posix("pthread_key_create(): the destructor runs when the thread exits, which lost ones do not do"),
      Glibc("the forking thread's values stay, and its destructors run when it ends; those of lost threads never do: "
            "what they point to is leaked"),
      Atfork("what belongs to a lost thread is not freed either; its locks are orphaned at once"),
      "foreign_fork_does_not_wait_for_a_holder_and_its_child_is_told");
TEST(thread_specific_data_of_lost_threads_is_leaked) {
  static pthread_key_t key;
  struct Destroyed {
    std::atomic<int> of_lost, of_forking;
  };
  static auto* const destroyed = Shared<Destroyed>();
  const auto destroy = [](void* value) {
    ++(value == &destroyed->of_lost ? destroyed->of_lost : destroyed->of_forking);
  };
  CHECK_EQ(pthread_key_create(&key, destroy), 0);
  static const auto set = [](const void* value) { CHECK_EQ(pthread_setspecific(key, value), 0); };
  Elsewhere lost([] { set(&destroyed->of_lost); }, [] { set(nullptr); });
  std::thread([] {
    set(&destroyed->of_forking);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
      alarm(20);
      CHECK(pthread_getspecific(key) == &destroyed->of_forking);
      return;  // the only thread of its process, which ends with it, by exit(0)
    }
    CheckChild(pid);
    CHECK_EQ(destroyed->of_lost, 0);
    CHECK_EQ(destroyed->of_forking, 1);
    set(nullptr);
  }).join();
}

CLAIM(once_of_a_lost_thread_is_run_again, "threads", "Another thread is in the midst of a pthread_once() routine",
      Posix("not said"), Glibc("the next caller in the child runs the routine once more, from its beginning"),
      Atfork("has none"));
TEST(once_of_a_lost_thread_is_run_again) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  static std::atomic<int> begun{0};
  static Stage stage;
  static const pid_t parent = getpid();
  static const auto routine = [] {
    ++begun;
    if (getpid() != parent) return;
    stage.Reach(1);
    stage.Await(2);
  };
  std::thread other([] { CHECK_EQ(pthread_once(&once, routine), 0); });
  stage.Await(1);
  CheckChild(Fork([] {
    CHECK_EQ(pthread_once(&once, routine), 0);
    CHECK_EQ(begun, 2);
    CHECK_EQ(pthread_once(&once, routine), 0);
    CHECK_EQ(begun, 2);
  }));
  stage.Reach(2);
  other.join();
  CHECK_EQ(begun, 1);
}

CLAIM(stream_locked_by_another_thread_is_free, "libc", "Another thread has locked a FILE", Posix("not said"),
      Glibc("free in the child: fork() makes the locks of all streams anew. What it was in the midst of stays so"),
      Atfork("does nothing about streams"));
TEST(stream_locked_by_another_thread_is_free) {
  std::FILE* const file = std::tmpfile();
  CHECK(file != nullptr);
  Elsewhere holder([=] { flockfile(file); }, [=] { funlockfile(file); });
  CHECK(ftrylockfile(file) != 0);
  CheckChild(Fork([=] {
    CHECK_EQ(ftrylockfile(file), 0);
    CHECK(std::fputc('x', file) == 'x');
    funlockfile(file);
  }));
  CHECK(ftrylockfile(file) != 0);
  holder.End();
  std::fclose(file);
}

CLAIM(buffered_output_is_written_twice, "libc", "A stream has buffered output",
      Posix("2.5.1, Interaction of File Descriptors and Standard I/O Streams: to be flushed before a fork"),
      Glibc("both sides have it, and both write it; once if it was flushed before"), Atfork("does not flush"));
TEST(buffered_output_is_written_twice) {
  for (const bool flushed : {false, true}) {
    std::FILE* const file = std::tmpfile();
    CHECK(file != nullptr);
    std::fputs("line\n", file);
    if (flushed) std::fflush(file);
    CheckChild(Fork([=] { std::fflush(file); }));
    std::fflush(file);
    CHECK_EQ(lseek(fileno(file), 0, SEEK_END), flushed ? 5 : 10);
    std::fclose(file);
  }
}

// Blocks of many sizes, so from many bins, and from the top.
void Churn(unsigned seed) {
  std::vector<void*> blocks;
  for (int i = 0; i < 100; ++i) {
    seed = seed * 1103515245 + 12345;
    void* const block = malloc(16 + (seed >> 8) % 20000);
    CHECK(block != nullptr);
    std::memset(block, 1, 16);
    blocks.push_back(block);
  }
  for (void* const block : blocks) free(block);
}

CLAIM(malloc_works_while_others_allocate, "libc", "Other threads are inside malloc() and free()",
      Posix("malloc() is not async-signal-safe: not to be called in such a child"),
      Glibc("works: fork() holds all arenas' locks while memory is copied"),
      Atfork("relies on it; allocators that are loaded instead have to do the same"));
TEST(malloc_works_while_others_allocate) {
  static std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) {
    threads.emplace_back([i] {
      while (!stop) Churn(i);
    });
  }
  for (unsigned i = 0; i < 10; ++i) {
    CheckChild(Fork([=] {
      Churn(i);
      std::thread([=] { Churn(i + 1); }).join();
    }));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

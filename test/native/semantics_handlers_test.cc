// semantics_handlers_test.cc - what glibc does with the handlers of pthread_atfork(3): their order, who runs them, and
// what a handler may do itself.
// Runs in:  native_tests, each test in a process of its own. man: pthread_atfork(3), dlopen(3).
#include <sys/resource.h>

#include <cerrno>
#include <climits>

#include "include/atfork.h"
#include "lock_helpers.h"
#include "posix/process_state.h"
#include "semantics_helpers.h"

extern "C" const atfork_api* atfork_get_api_v1();

namespace {

using atfork::test::Atfork;
using atfork::test::CheckChild;
using atfork::test::Ends;
using atfork::test::Fork;
using atfork::test::Glibc;
using atfork::test::HasGlibc;
using atfork::test::Posix;
using atfork::test::Saw;
using atfork::test::Stage;

// What ran, on either side: a child goes on with its parent's.
std::string trace;

template <char name>
int Register() {
  return pthread_atfork([] { trace += std::string("<") + name; }, [] { trace += std::string(">") + name; },
                        [] { trace += std::string("*") + name; });
}

std::atomic<bool> sleeps{false};

// glibc does without its locks in a process that has never had a second thread.
void BecomeThreaded() {
  pthread_t thread;
  const auto sleep = [](void*) -> void* {
    static Stage never;
    sleeps = true;
    never.Await(1);
    return nullptr;
  };
  CHECK_EQ(pthread_create(&thread, nullptr, sleep, nullptr), 0);
  while (!sleeps) std::this_thread::yield();
}

CLAIM(handlers_prepare_backwards_and_go_on_forwards, "handlers", "Several have registered handlers",
      Posix("pthread_atfork(): \"The parent and child fork handlers shall be called in the order in which they were "
            "established\"; the prepare ones \"in the opposite order\""),
      Glibc("that order"),
      Atfork("`atfork.h`: by rank, and of equals that order. A low rank prepares before the locks are taken, a high "
             "one while all are held"),
      "prepare_runs_backwards_and_the_others_forwards a_low_rank_is_outermost_whenever_it_was_registered "
      "api_handlers_of_a_high_rank_prepare_inside_the_locks");
TEST(handlers_prepare_backwards_and_go_on_forwards) {
  CHECK_EQ(Register<'a'>(), 0);
  CHECK_EQ(pthread_atfork(nullptr, nullptr, nullptr), 0);
  CHECK_EQ(Register<'b'>(), 0);
  CHECK_EQ(Register<'c'>(), 0);
  CheckChild(Fork([] { CHECK_EQ(trace, "<c<b<a*a*b*c"); }));
  CHECK_EQ(trace, "<c<b<a>a>b>c");
}

CLAIM(handlers_run_on_the_thread_that_forks, "handlers", "A thread that did not register them forks",
      Posix("pthread_atfork(): they run \"in the context of the thread that called fork()\""),
      Glibc("so they do; in the child on its only thread, whose tid is new"), Atfork("the same"));
TEST(handlers_run_on_the_thread_that_forks) {
  static pid_t prepared = 0, after = 0, in_child = 0;
  static const auto self = [] { return static_cast<pid_t>(syscall(SYS_gettid)); };
  CHECK_EQ(pthread_atfork([] { prepared = self(); }, [] { after = self(); }, [] { in_child = self(); }), 0);
  pid_t forked_by = 0;
  std::thread([&] {
    forked_by = self();
    CheckChild(Fork([&] {
      CHECK_EQ(prepared, forked_by);
      CHECK_EQ(in_child, self());
      CHECK_EQ(in_child, getpid());
    }));
  }).join();
  CHECK(forked_by != getpid());
  CHECK_EQ(prepared, forked_by);
  CHECK_EQ(after, forked_by);
}

CLAIM(handlers_come_along_into_every_generation, "handlers", "A child forks, and its child does",
      Posix("fork(): the child is a copy, its handlers included"), Glibc("each generation runs them once"),
      Atfork("the same, ten generations down"), "ten_generations_each_one_deeper");
TEST(handlers_come_along_into_every_generation) {
  CHECK_EQ(Register<'a'>(), 0);
  CheckChild(Fork([] {
    CheckChild(Fork([] { CHECK_EQ(trace, "<a*a<a*a"); }));
    CHECK_EQ(trace, "<a*a<a>a");
  }));
  CHECK_EQ(trace, "<a>a");
}

CLAIM(fork_that_fails_runs_the_parents_handlers, "handlers", "fork() fails",
      Posix("not said whether parent handlers run"),
      Glibc("they run; `errno` is that of the failure, whatever they do, "
            "since 2.34"),
      Atfork("they run, and leave `errno` alone; every lock is as before"),
      "fork_that_fails_leaves_the_lock_and_errno_as_they_should_be");
TEST(fork_that_fails_runs_the_parents_handlers) {
  CHECK_EQ(Register<'a'>(), 0);
  CHECK_EQ(pthread_atfork(
               nullptr, [] { errno = 0; }, nullptr),
           0);
  if (getuid() == 0) CHECK_EQ(setuid(65534), 0);
  const rlimit none = {0, 0};
  CHECK_EQ(setrlimit(RLIMIT_NPROC, &none), 0);
  CHECK_EQ(fork(), -1);
  const int error = errno;
  CHECK_EQ(trace, "<a>a");
  if (HasGlibc(34)) CHECK_EQ(error, EAGAIN);
  Saw(error == EAGAIN ? "EAGAIN" : "a handler changed errno");
}

int nested = 0;

// A prepare handler: forks once itself, however often it runs.
void ForkInside() {
  trace += "(";
  if (++nested > 1) return;
  CheckChild(Fork([] { CHECK_EQ(trace, "<a(<a(*a"); }));
  CHECK_EQ(trace, "<a(<a(>a");
}

void ForkWithAForkInside() {
  CHECK_EQ(pthread_atfork(ForkInside, nullptr, nullptr), 0);
  CHECK_EQ(Register<'a'>(), 0);
  CheckChild(Fork([] { CHECK_EQ(trace, "<a(<a(>a*a"); }));
  CHECK_EQ(trace, "<a(<a(>a>a");
}

CLAIM(handler_that_forks, "handlers", "A handler forks", Posix("not said"),
      Glibc("all handlers run for the fork inside as well, the calling one too: it has to know when to stop"),
      Atfork("so do those of `atfork.h`, and each lock is as deep as before on every side"),
      "handlers_that_fork_leave_the_depth_right");
TEST(handler_that_forks) { ForkWithAForkInside(); }

CLAIM(handler_that_forks_beside_threads, "handlers", "A handler forks, and the process has threads", Posix("not said"),
      Glibc("as without threads since 2.36, and in 2.35's stable branch; before, it waits for ever: the list of "
            "handlers is locked over the fork (BZ #24595)"),
      Atfork("as glibc: its one registration is in that list"));
TEST(handler_that_forks_beside_threads) {
  const bool ends = Ends(Fork([] {
    BecomeThreaded();
    ForkWithAForkInside();
  }));
  if (HasGlibc(36)) CHECK(ends);
  Saw(ends ? "both forks end" : "hangs");
}

void RegisterAnother() { CHECK_EQ(Register<'b'>(), 0); }

CLAIM(handler_that_registers_handlers, "handlers", "A prepare handler registers handlers", Posix("not said"),
      Glibc("they count from the next fork on since 2.36; before, their `parent` and `child` run in this one, without "
            "their `prepare`"),
      Atfork("from the next fork on"), "a_handler_added_by_a_handler_takes_part_from_the_next_fork_on");
TEST(handler_that_registers_handlers) {
  CHECK_EQ(pthread_atfork(RegisterAnother, nullptr, nullptr), 0);
  CHECK_EQ(Register<'a'>(), 0);
  CheckChild(Fork([] { CHECK(trace == "<a*a" || (!HasGlibc(36) && trace == "<a*a*b")); }));
  CHECK(trace == "<a>a" || (!HasGlibc(36) && trace == "<a>a>b"));
  Saw(trace);
}

CLAIM(handler_that_registers_handlers_beside_threads, "handlers",
      "A handler registers handlers, and the process has threads", Posix("not said"),
      Glibc("the same since 2.36; before, it waits for ever (BZ #24595)"),
      Atfork("from the next fork on, on every glibc: its own list is behind one registration"),
      "handlers_are_added_by_a_handler_beside_threads");
TEST(handler_that_registers_handlers_beside_threads) {
  const bool ends = Ends(Fork([] {
    BecomeThreaded();
    CHECK_EQ(pthread_atfork(RegisterAnother, nullptr, nullptr), 0);
    CheckChild(Fork([] {}));
    CHECK(!HasGlibc(36) || trace.empty());
  }));
  if (HasGlibc(36)) CHECK(ends);
  Saw(ends ? "the fork ends" : "hangs");
}

TEST(handlers_are_added_by_a_handler_beside_threads) {
  BecomeThreaded();
  static const atfork::AtForkHandler late = {0, nullptr, [](void*) { trace += ">late"; }, nullptr, nullptr};
  static const atfork::AtForkHandler adder = {
      0, [](void*) { CHECK(atfork::GetProcessState()->at_fork.Add(&late) < atfork::AtForkList::kCapacity); }, nullptr,
      nullptr, nullptr};
  const uint32_t index = atfork::GetProcessState()->at_fork.Add(&adder);
  CheckChild(Fork([] {}));
  CHECK_EQ(trace, "");
  CHECK(atfork::GetProcessState()->at_fork.Remove(index));
  CheckChild(Fork([] {}));
  CHECK_EQ(trace, ">late");
}

CLAIM(handlers_that_are_taken_away_during_a_fork_end_it, "handlers",
      "Handlers are taken away while a fork is under way", Posix("there is no way to"),
      Glibc("there is no way to but dlclose()"),
      Atfork("they end the fork that they have begun. `remove_handlers` waits for that, unless a handler calls it"),
      "a_removed_handler_ends_the_fork_that_it_has_begun api_handlers_are_done_when_they_have_been_removed");
TEST(handlers_that_are_taken_away_during_a_fork_end_it) {
  static uint32_t id = 0;
  const atfork_handlers handlers = {0,
                                    [](void*) {
                                      trace += "<";
                                      CHECK_EQ(atfork_get_api_v1()->remove_handlers(id), 0);
                                    },
                                    [](void*) { trace += ">"; }, [](void*) { trace += "*"; }, nullptr};
  CHECK_EQ(atfork_get_api_v1()->add_handlers(&handlers, &id), 0);
  CheckChild(Fork([] { CHECK_EQ(trace, "<*"); }));
  CHECK_EQ(trace, "<>");
  CheckChild(Fork([] { CHECK_EQ(trace, "<>"); }));
  CHECK_EQ(trace, "<>");
}

Stage* both_prepare = nullptr;

CLAIM(forks_on_two_threads_prepare_at_once, "handlers", "Two threads fork at once", Posix("not said"),
      Glibc("since 2.36 their handlers run side by side, so handlers need locks of their own; before, a second fork "
            "waits until the first is over"),
      Atfork("its handlers may run side by side; each lock is held by one fork after the other"),
      "forks_from_several_threads_at_once");
TEST(forks_on_two_threads_prepare_at_once) {
  const bool ends = Ends(Fork([] {
    static std::atomic<uint32_t> inside{0};
    both_prepare = new Stage;
    // Neither leaves it before the other has come.
    CHECK_EQ(pthread_atfork(
                 [] {
                   if (++inside == 2) both_prepare->Reach(1);
                   both_prepare->Await(1);
                 },
                 nullptr, nullptr),
             0);
    std::thread other([] { CheckChild(Fork([] {})); });
    CheckChild(Fork([] {}));
    other.join();
  }));
  if (HasGlibc(36)) CHECK(ends);
  Saw(ends ? "side by side" : "one after the other");
}

// The library that registers lies beside this program.
void* LoadRegistrar() {
  char path[PATH_MAX] = {};
  CHECK(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
  const std::string program = path;
  void* const library = dlopen((program.substr(0, program.rfind('/')) + "/registrar.node").c_str(), RTLD_NOW);
  CHECK(library != nullptr);
  return library;
}

CLAIM(library_that_is_unloaded_takes_its_handlers_along, "handlers", "Who registered handlers is unloaded by dlclose()",
      Posix("pthread_atfork() and dlclose() do not speak of each other"),
      Glibc("they are dropped: glibc registers them for the library that calls (its `__dso_handle`)"),
      Atfork("a library whose handlers `atfork.h` has stays loaded"), "library_with_handlers_of_ours_stays_loaded");
TEST(library_that_is_unloaded_takes_its_handlers_along) {
  void* const library = LoadRegistrar();
  const auto start = reinterpret_cast<int (*)(int*)>(dlsym(library, "CountForks"));
  CHECK(start != nullptr);
  static int forks = 0;
  CHECK_EQ(start(&forks), 0);
  CheckChild(Fork([] { CHECK_EQ(forks, 2); }));
  CHECK_EQ(forks, 2);
  CHECK_EQ(dlclose(library), 0);
  CheckChild(Fork([] { CHECK_EQ(forks, 2); }));
  CHECK_EQ(forks, 2);
}

TEST(library_with_handlers_of_ours_stays_loaded) {
  void* const library = LoadRegistrar();
  const auto note = reinterpret_cast<void (*)(void*)>(dlsym(library, "NoteFork"));
  CHECK(note != nullptr);
  int forks = 0;
  const atfork_handlers handlers = {0, note, nullptr, nullptr, &forks};
  uint32_t id = 0;
  CHECK_EQ(atfork_get_api_v1()->add_handlers(&handlers, &id), 0);
  CHECK_EQ(dlclose(library), 0);
  CheckChild(Fork([&] { CHECK_EQ(forks, 1); }));
  CHECK_EQ(forks, 1);
}

}  // namespace

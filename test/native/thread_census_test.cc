// thread_census_test.cc - every thread is found, named and traced to the code it was started to run; one that ended is
// an absence, never a crash.
// Runs in:  native_tests.
#include "posix/thread_census.h"

#include <linux/io_uring.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <thread>

#include "test.h"

namespace {

struct Waiting {
  Waiting() {
    sem_init(&ready, 0, 0);
    sem_init(&go, 0, 0);
  }
  const char* name = nullptr;
  pid_t tid = 0;
  sem_t ready;
  sem_t go;
};

void Wait(sem_t* semaphore) {
  while (sem_wait(semaphore) != 0 && errno == EINTR) {
  }
}

void* RunWaiting(void* argument) {
  auto* waiting = static_cast<Waiting*>(argument);
  if (waiting->name != nullptr) prctl(PR_SET_NAME, waiting->name);
  waiting->tid = static_cast<pid_t>(syscall(SYS_gettid));
  sem_post(&waiting->ready);
  Wait(&waiting->go);
  return nullptr;
}

pthread_t Start(Waiting* waiting) {
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, nullptr, RunWaiting, waiting), 0);
  Wait(&waiting->ready);
  return thread;
}

void Finish(Waiting* waiting, pthread_t thread) {
  sem_post(&waiting->go);
  CHECK_EQ(pthread_join(thread, nullptr), 0);
}

// The kernel removes a joined thread from /proc a moment after it woke the joiner.
void AwaitGone(pid_t tid) {
  while (syscall(SYS_tgkill, getpid(), tid, 0) == 0) std::this_thread::yield();
  CHECK_EQ(errno, ESRCH);
}

std::set<pid_t> Tids(int task_fd) {
  std::set<pid_t> tids;
  const auto visit = [](pid_t tid, void* context) {
    CHECK(static_cast<std::set<pid_t>*>(context)->insert(tid).second);
    return true;
  };
  CHECK(atfork::ForEachThread(task_fd, visit, &tids).ok());
  return tids;
}

const atfork::ThreadListing* Find(const std::vector<atfork::ThreadListing>& listings, pid_t tid) {
  const auto found = std::find_if(listings.begin(), listings.end(),
                                  [=](const atfork::ThreadListing& listing) { return listing.record.tid == tid; });
  return found == listings.end() ? nullptr : &*found;
}

}  // namespace

TEST(census_finds_every_thread) {
  const auto directory = atfork::OpenTaskDirectory();
  CHECK(directory.ok());
  const int task_fd = directory.value().get();
  CHECK(Tids(task_fd) == std::set<pid_t>{getpid()});

  constexpr int kThreads = 300;  // more than one getdents64 buffer holds
  Waiting waiting[kThreads];
  pthread_t threads[kThreads];
  std::set<pid_t> expected = {getpid()};
  for (int i = 0; i < kThreads; ++i) {
    threads[i] = Start(&waiting[i]);
    expected.insert(waiting[i].tid);
  }
  CHECK(Tids(task_fd) == expected);
  CHECK(Tids(task_fd) == expected);
  for (int i = 0; i < kThreads; ++i) Finish(&waiting[i], threads[i]);
}

TEST(census_stops_when_told) {
  Waiting waiting;
  const pthread_t thread = Start(&waiting);
  const auto directory = atfork::OpenTaskDirectory();
  int visits = 0;
  const auto first_only = [](pid_t, void* context) {
    ++*static_cast<int*>(context);
    return false;
  };
  CHECK(atfork::ForEachThread(directory.value().get(), first_only, &visits).ok());
  CHECK_EQ(visits, 1);
  Finish(&waiting, thread);
}

TEST(census_reads_names_that_look_like_stat) {
  const auto directory = atfork::OpenTaskDirectory();
  for (const char* name : {"plain", "a) R (b) Z", "exactly 15 byte", "ends in line\n", ") ) ) ) )"}) {
    Waiting waiting;
    waiting.name = name;
    const pthread_t thread = Start(&waiting);
    atfork::ThreadRecord record;
    do {
      CHECK(atfork::ReadThread(directory.value().get(), waiting.tid, nullptr, &record));
    } while (record.state == 'R');  // on its way into the semaphore
    CHECK_EQ(std::string(record.name), name);
    CHECK_EQ(record.state, 'S');
    CHECK_EQ(record.tid, waiting.tid);
    CHECK_EQ(record.pd, 0u);
    Finish(&waiting, thread);
  }
}

TEST(census_finds_descriptor_and_start_routine) {
  const auto layout = atfork::LearnThreadLayout();
  CHECK(layout.ok());
  Waiting waiting;
  const pthread_t thread = Start(&waiting);
  const auto directory = atfork::OpenTaskDirectory();
  atfork::ThreadRecord record;
  CHECK(atfork::ReadThread(directory.value().get(), waiting.tid, &layout.value(), &record));
  CHECK_EQ(record.pd, static_cast<uintptr_t>(thread));
  CHECK_EQ(record.start_routine, reinterpret_cast<uintptr_t>(&RunWaiting));

  CHECK(atfork::ReadThread(directory.value().get(), getpid(), &layout.value(), &record));
  CHECK_EQ(record.pd, static_cast<uintptr_t>(pthread_self()));
  CHECK_EQ(record.start_routine, 0u);
  Finish(&waiting, thread);
}

TEST(census_learns_the_same_layout_on_any_thread) {
  const auto here = atfork::LearnThreadLayout();
  CHECK(here.ok());
  std::thread([&] {
    const auto there = atfork::LearnThreadLayout();
    CHECK(there.ok());
    CHECK_EQ(there.value().robust_head, here.value().robust_head);
    CHECK_EQ(there.value().start_routine, here.value().start_routine);
  }).join();
}

TEST(census_takes_an_ended_thread_for_absent) {
  const auto layout = atfork::LearnThreadLayout();
  const auto directory = atfork::OpenTaskDirectory();
  CHECK(layout.ok());
  Waiting waiting;
  const pthread_t thread = Start(&waiting);
  Finish(&waiting, thread);
  AwaitGone(waiting.tid);
  CHECK_EQ(atfork::FindDescriptor(layout.value(), waiting.tid), 0u);
  atfork::ThreadRecord record;
  CHECK(!atfork::ReadThread(directory.value().get(), waiting.tid, &layout.value(), &record));
}

TEST(census_tells_a_thread_that_is_ending) {
  const auto directory = atfork::OpenTaskDirectory();
  atfork::ThreadRecord record;
  CHECK(atfork::ReadThread(directory.value().get(), getpid(), nullptr, &record));
  CHECK(!record.is_ending);
  CHECK(!record.is_kernel_s);
  // The initial thread stays in the listing for as long as there are others.
  std::thread([&directory] {
    atfork::ThreadRecord ended;
    do {
      CHECK(atfork::ReadThread(directory.value().get(), getpid(), nullptr, &ended));
    } while (ended.state != 'Z');
    CHECK(ended.is_ending);
    _exit(0);
  }).detach();
  pthread_exit(nullptr);
}

TEST(census_tells_threads_of_the_kernel) {
  io_uring_params params = {};
  params.flags = IORING_SETUP_SQPOLL;
  const auto ring = static_cast<int>(syscall(SYS_io_uring_setup, 1, &params));
  if (ring < 0) return;  // not offered here
  const auto listings = atfork::ListThreads();
  CHECK(listings.ok());
  CHECK_EQ(listings.value().size(), 2u);
  CHECK(!listings.value()[0].record.is_kernel_s);
  CHECK(listings.value()[1].record.is_kernel_s);
  close(ring);
}

TEST(census_reads_unmapped_memory_as_unknown) {
  const auto layout = atfork::LearnThreadLayout();
  CHECK(layout.ok());
  void* page = mmap(nullptr, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(page != MAP_FAILED);
  const auto pd = reinterpret_cast<uintptr_t>(page);
  const uintptr_t routine = 0x1234;
  std::memcpy(static_cast<char*>(page) + layout.value().start_routine, &routine, sizeof routine);
  CHECK_EQ(atfork::StartRoutineOf(layout.value(), pd), routine);
  CHECK_EQ(munmap(page, 16384), 0);
  CHECK_EQ(atfork::StartRoutineOf(layout.value(), pd), 0u);
  CHECK_EQ(atfork::StartRoutineOf(layout.value(), 0), 0u);
}

TEST(census_names_modules) {
  const atfork::ModuleRef own = atfork::FindModule(reinterpret_cast<uintptr_t>(&RunWaiting));
  CHECK(own.is_program);
  CHECK_EQ(std::string(own.name), "");
  CHECK(own.begin <= reinterpret_cast<uintptr_t>(&RunWaiting) && reinterpret_cast<uintptr_t>(&RunWaiting) < own.end);

  const atfork::ModuleRef none = atfork::FindModule(reinterpret_cast<uintptr_t>(&own));  // the stack is no module
  CHECK(!none.is_program);
  CHECK_EQ(none.begin, 0u);
  CHECK_EQ(std::string(none.name), "");
}

TEST(census_lists_what_each_thread_is) {
  Waiting plain;
  const pthread_t thread = Start(&plain);
  Waiting standard;
  std::thread standard_thread(RunWaiting, &standard);
  Wait(&standard.ready);

  const auto listed = atfork::ListThreads();
  CHECK(listed.ok());
  CHECK_EQ(listed.value().size(), 3u);
  const auto check = [&](pid_t tid, const char* module, const char* kind, const char* after_fork) {
    const atfork::ThreadListing* listing = Find(listed.value(), tid);
    CHECK(listing != nullptr);
    CHECK_EQ(listing->module, module);
    CHECK_EQ(std::string(listing->what.kind), kind);
    CHECK_EQ(std::string(listing->what.after_fork), after_fork);
  };
  check(getpid(), program_invocation_short_name, "main", "kept");
  check(plain.tid, program_invocation_short_name, "runtime", "lost");
  check(standard.tid, "libstdc++.so.6", "foreign", "lost");

  sem_post(&standard.go);
  standard_thread.join();
  Finish(&plain, thread);
}

TEST(census_asks_the_classifier) {
  atfork::SetThreadClassifier([](const atfork::ThreadRecord& record) {
    return record.tid == getpid() ? atfork::ThreadClass{"main", "kept"} : atfork::ThreadClass{"v8-worker", "revived"};
  });
  Waiting waiting;
  const pthread_t thread = Start(&waiting);
  const auto listed = atfork::ListThreads();
  CHECK(listed.ok());
  CHECK_EQ(std::string(Find(listed.value(), waiting.tid)->what.kind), "v8-worker");
  CHECK_EQ(std::string(Find(listed.value(), waiting.tid)->what.after_fork), "revived");
  Finish(&waiting, thread);
}

TEST(census_in_a_forked_child_lists_the_child) {
  Waiting waiting;
  const pthread_t thread = Start(&waiting);
  const pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    const auto listed = atfork::ListThreads();
    CHECK(listed.ok());
    CHECK_EQ(listed.value().size(), 1u);
    CHECK_EQ(listed.value()[0].record.tid, getpid());
    CHECK_EQ(std::string(listed.value()[0].what.kind), "main");
    _exit(0);
  }
  int status = 0;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
  Finish(&waiting, thread);
}

// fork_permit_test.cc - sections that no fork may fall into: whose they are, how they end, and what a child has of
// them. Runs in:  native_tests, each test in a process of its own.
#include "posix/fork_permit.h"

#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "lock_helpers.h"
#include "posix/process_state.h"
#include "test.h"

namespace {

using atfork::ForkPermit;
using atfork::Status;
using atfork::ThisThread;
using atfork::ThreadIdentity;
using atfork::test::CheckChild;
using atfork::test::Fork;

ForkPermit& permit = atfork::GetProcessState()->fork_permit;

// Why fork() would refuse; empty when it would not.
std::string Refusal() {
  const Status status = permit.Check(ThisThread());
  return status ? "" : std::string(status.error().code) + ": " + status.error().detail;
}

const std::string kHere = "ERR_ATFORK_PREVENTED: on this very thread";
const std::string kElsewhere = "ERR_ATFORK_PREVENTED: on another thread";

TEST(permit_is_given_again_when_the_outermost_section_is_left) {
  CHECK_EQ(Refusal(), "");
  for (int i = 0; i < 3; ++i) CHECK(permit.Enter(&ThisThread()));
  for (int i = 0; i < 3; ++i) {
    CHECK_EQ(Refusal(), kHere);
    permit.Leave(&ThisThread());
  }
  CHECK_EQ(Refusal(), "");
  permit.Leave(&ThisThread());  // of nothing
  CHECK_EQ(Refusal(), "");
}

TEST(permit_depends_on_every_thread) {
  std::atomic<int> inside{0};
  std::atomic<bool> leave{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10000; ++j) {
        CHECK(permit.Enter(&ThisThread()));
        permit.Leave(&ThisThread());
      }
      CHECK(permit.Enter(&ThisThread()));
      ++inside;
      while (!leave) std::this_thread::yield();
      permit.Leave(&ThisThread());
    });
  }
  while (inside < 4) std::this_thread::yield();
  CHECK_EQ(Refusal(), kElsewhere);
  CHECK(permit.Enter(&ThisThread()));
  CHECK_EQ(Refusal(), kHere);
  permit.Leave(&ThisThread());
  CHECK_EQ(Refusal(), kElsewhere);
  leave = true;
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(Refusal(), "");
}

TEST(permit_is_given_when_the_thread_that_prevented_forks_ends) {
  std::thread([] {
    CHECK(permit.Enter(&ThisThread()));
    CHECK(permit.Enter(&ThisThread()));
  }).join();
  CHECK_EQ(Refusal(), "");
  CHECK(permit.Enter(&ThisThread()));
  atfork::AbandonAll();
  CHECK_EQ(Refusal(), "");
}

TEST(child_of_any_fork_has_the_sections_of_its_own_thread_only) {
  std::atomic<bool> entered{false};
  std::atomic<bool> leave{false};
  std::thread other([&] {
    CHECK(permit.Enter(&ThisThread()));
    entered = true;
    while (!leave) std::this_thread::yield();
    permit.Leave(&ThisThread());
  });
  while (!entered) std::this_thread::yield();
  CheckChild(Fork([] {
    CHECK_EQ(Refusal(), "");
    std::thread([] {
      CHECK(permit.Enter(&ThisThread()));
      CHECK_EQ(Refusal(), kHere);
    }).join();
    CHECK_EQ(Refusal(), "");
  }));
  CHECK(permit.Enter(&ThisThread()));
  CheckChild(Fork([] {
    CHECK_EQ(Refusal(), kHere);
    permit.Leave(&ThisThread());
    CHECK_EQ(Refusal(), "");
  }));
  permit.Leave(&ThisThread());
  CHECK_EQ(Refusal(), kElsewhere);
  leave = true;
  other.join();
}

TEST(thread_of_the_parent_that_was_brought_back_has_no_say_in_the_child) {
  const ThreadIdentity of_parent = ThisThread();
  CheckChild(Fork([&] {
    ThreadIdentity brought_back = of_parent;
    CHECK(!permit.Enter(&brought_back));
    permit.MarkNotForkSafe(brought_back, "the parent");
    CHECK_EQ(Refusal(), "");
    permit.Leave(&brought_back);
    CHECK_EQ(Refusal(), "");
  }));
}

TEST(not_fork_safe_is_for_good_and_for_the_reason_given_first) {
  std::thread([] {
    std::string reason = "a library with threads";
    permit.MarkNotForkSafe(ThisThread(), reason.c_str());
    reason.assign(reason.size(), 'x');
  }).join();
  permit.MarkNotForkSafe(ThisThread(), "another");
  const std::string refusal = "ERR_ATFORK_NOT_FORK_SAFE: a library with threads";
  CHECK_EQ(Refusal(), refusal);
  CHECK(permit.Enter(&ThisThread()));
  CHECK_EQ(Refusal(), refusal);
  CheckChild(Fork([&] { CHECK_EQ(Refusal(), refusal); }));
}

}  // namespace

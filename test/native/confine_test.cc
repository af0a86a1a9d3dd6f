// confine_test.cc - what a confined thread may still do, and what the rest answers.
// Runs in:  native_tests. Only the thread that is confined is; it writes down what it saw for the others.
#include "child/confine.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <vector>

#include "test.h"

namespace {

using atfork::child::Confine;
using atfork::child::FdRange;
using atfork::child::IsConfined;
using atfork::child::kMaxConfinedRanges;
using atfork::child::SetConfinedFds;

struct Seen {
  long result;
  int error;
};

struct Case {
  int listed;
  int unlisted;
  pid_t child;
  int confined = -1;
  bool knows_it = false;
  Seen write_listed, read_listed, write_unlisted, read_unlisted, look, wait, open;
};

Seen See(long result) { return {result, result < 0 ? errno : 0}; }

void* Run(void* argument) {
  auto* seen = static_cast<Case*>(argument);
  seen->confined = Confine();
  seen->knows_it = IsConfined();
  uint64_t value = 1;
  seen->write_listed = See(write(seen->listed, &value, sizeof value));
  seen->read_listed = See(read(seen->listed, &value, sizeof value));
  seen->write_unlisted = See(write(seen->unlisted, &value, sizeof value));
  seen->read_unlisted = See(read(seen->unlisted, &value, sizeof value));
  seen->look = See(waitpid(seen->child, nullptr, WNOHANG));
  seen->wait = See(waitpid(seen->child, nullptr, 0));
  seen->open = See(open("/dev/null", O_RDONLY));
  return nullptr;
}

void CheckSeen(const Seen& seen, long result, int error) {
  CHECK_EQ(seen.result, result);
  CHECK_EQ(seen.error, error);
}

}  // namespace

TEST(confined_thread_uses_what_is_listed_only) {
  CHECK(atfork::child::CanConfine());
  const int low = eventfd(1, EFD_NONBLOCK);
  // Below, between and above the ranges; and in the last of as many as there may be.
  for (const int listed : {low, 5000, INT_MAX}) {
    std::vector<FdRange> ranges;
    while (static_cast<int>(ranges.size()) < kMaxConfinedRanges - 1) {
      const int number = 1000 + 4 * static_cast<int>(ranges.size());
      ranges.push_back({number, number + 1});
    }
    ranges.push_back({listed == INT_MAX ? 10000 : listed, listed});
    const int number = listed == INT_MAX ? 10007 : listed;
    if (number != low) CHECK_EQ(dup2(low, number), number);
    CHECK_EQ(dup2(low, 1002), 1002);
    CHECK(SetConfinedFds(ranges.data(), static_cast<int>(ranges.size())));
    Case seen = {};
    seen.listed = number;
    seen.unlisted = 1002;
    seen.child = fork();
    if (seen.child == 0) _exit(7);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, nullptr, Run, &seen), 0);
    CHECK_EQ(pthread_join(thread, nullptr), 0);
    CHECK_EQ(seen.confined, 0);
    CHECK(seen.knows_it);
    CHECK(!IsConfined());
    CheckSeen(seen.write_listed, 8, 0);
    CheckSeen(seen.read_listed, 8, 0);
    CheckSeen(seen.write_unlisted, -1, ECANCELED);
    CheckSeen(seen.read_unlisted, -1, EPIPE);
    CheckSeen(seen.look, -1, ECHILD);
    CheckSeen(seen.wait, -1, ECANCELED);
    CheckSeen(seen.open, -1, ECANCELED);
    // The others are free.
    int status = 0;
    CHECK_EQ(waitpid(seen.child, &status, 0), seen.child);
    CHECK_EQ(WEXITSTATUS(status), 7);
  }
}

TEST(more_ranges_than_a_filter_holds_are_refused) {
  const std::vector<FdRange> ranges(static_cast<size_t>(kMaxConfinedRanges) + 1, FdRange{1, 1});
  CHECK(!SetConfinedFds(ranges.data(), static_cast<int>(ranges.size())));
}

// main.cc - runs every TEST of this executable in its own child process, one after the other.
// Runs in:  a single-threaded process without Node; forks once per test.
// Calls:    fork(2), pidfd_open(2) and poll(2) for the bounded wait, kill(2) on the test's process group, waitpid(2).
// Usage:    native_tests [part of a name] [--without=NAME ...] [--claims=FILE], or native_tests --list.
//           ATFORK_TEST_TIMEOUT_MS: the bound on one test, default 30,000. Prints `ok NAME` or `not ok NAME (why)` per
//           test, `ok NAME # why` where this system has not got what it is about, then `N passed, N failed`; exits 1
//           when a test failed or none ran. FILE gets a line of JSON per test, for scripts/semantics-doc.mjs (claim.h).
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "claim.h"
#include "test.h"

namespace {

using atfork::test::Case;
using atfork::test::Report;
using atfork::test::report;

constexpr char kWithout[] = "--without=";
constexpr char kClaims[] = "--claims=";

// Waits at most `timeout_ms`; true when the child has ended. It stays a zombie until it is reaped.
bool WaitBounded(pid_t pid, int timeout_ms) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) {
    std::perror("pidfd_open");
    return false;
  }
  pollfd ready = {pidfd, POLLIN, 0};
  int count = 0;
  do {
    count = poll(&ready, 1, timeout_ms);
  } while (count < 0 && errno == EINTR);
  close(pidfd);
  return count == 1;
}

// Runs one test; an empty string means it passed, else why not.
std::string RunCase(const Case& test, int timeout_ms) {
  std::fflush(nullptr);
  *report = Report{};
  const pid_t pid = fork();
  if (pid < 0) return std::string("fork: ") + std::strerror(errno);
  if (pid == 0) {
    setpgid(0, 0);
    test.run();
    std::fflush(nullptr);
    _exit(0);
  }
  setpgid(pid, pid);  // both sides set it: whichever runs first, the kill below finds the group
  const bool ended = WaitBounded(pid, timeout_ms);
  kill(-pid, SIGKILL);  // a test that hangs, and whatever a finished one left running; the zombie keeps the id ours
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended) return "still running after " + std::to_string(timeout_ms) + " ms, killed";
  if (WIFSIGNALED(status)) return std::string("signal ") + strsignal(WTERMSIG(status));
  if (WEXITSTATUS(status) != 0) return "exit code " + std::to_string(WEXITSTATUS(status));
  return "";
}

bool StartsWith(const char* text, const char* start) { return std::strncmp(text, start, std::strlen(start)) == 0; }

// Whether `name` is one of those that are to be left out.
bool IsLeftOut(const char* name, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (!StartsWith(argv[i], kWithout)) continue;
    if (std::strcmp(argv[i] + std::strlen(kWithout), name) == 0) return true;
  }
  return false;
}

// Null: nobody wants the results. Closed by exit(3), in no test's process: those leave by _exit(2).
std::FILE* OpenClaims(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (!StartsWith(argv[i], kClaims)) continue;
    std::FILE* const file = std::fopen(argv[i] + std::strlen(kClaims), "we");
    if (file == nullptr) {
      std::perror(argv[i]);
      std::exit(1);
    }
    atfork::test::WriteSystem(file);
    return file;
  }
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--list") == 0) {
    for (const Case* test = Case::head; test != nullptr; test = test->next) std::printf("%s\n", test->name);
    return 0;
  }
  const char* filter = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
  const char* bound = std::getenv("ATFORK_TEST_TIMEOUT_MS");
  const int timeout_ms = bound != nullptr ? std::atoi(bound) : 30000;
  std::FILE* const claims = OpenClaims(argc, argv);
  report =
      static_cast<Report*>(mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (report == MAP_FAILED) {
    std::perror("mmap");
    return 1;
  }
  int passed = 0;
  int failed = 0;
  for (const Case* test = Case::head; test != nullptr; test = test->next) {
    if (std::strstr(test->name, filter) == nullptr || IsLeftOut(test->name, argc, argv)) continue;
    const std::string why = RunCase(*test, timeout_ms);
    if (why.empty()) {
      ++passed;
      const char* const cannot = report->cannot;
      std::printf("ok %s%s%s\n", test->name, cannot[0] == '\0' ? "" : " # ", cannot);
    } else {
      ++failed;
      std::printf("not ok %s (%s)\n", test->name, why.c_str());
    }
    if (claims != nullptr) atfork::test::WriteResult(claims, test->name, why, *report);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

// semantics_helpers.h - what the tests of fork's semantics share: children that may hang, other ways of making them.
#ifndef ATFORK_TEST_NATIVE_SEMANTICS_HELPERS_H_
#define ATFORK_TEST_NATIVE_SEMANTICS_HELPERS_H_

#include <dirent.h>
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <string>
#include <thread>

#include "claim.h"
#include "test.h"

namespace atfork::test {

// Of this process's glibc: at least 2.`minor`.
inline bool HasGlibc(int minor) { return std::atoi(std::strchr(gnu_get_libc_version(), '.') + 1) >= minor; }

// One T that this process shares with its children. Stays.
template <typename T>
T* Shared() {
  void* const memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return new (memory) T{};
}

// Past glibc: the child has the caller's stack, and no at-fork handler runs. Its end is bounded as in Fork.
template <typename Body>
pid_t RawClone(Body body) {
  return RunIfChild(static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr)), body);
}

// _Fork(3) came with glibc 2.34.
template <typename Body>
pid_t UnderscoreFork(Body body) {
  const auto call = reinterpret_cast<pid_t (*)()>(dlsym(RTLD_DEFAULT, "_Fork"));
  if (call == nullptr) CannotShow("no _Fork() before glibc 2.34");
  return RunIfChild(call(), body);
}

// Each thread of a process with what it sleeps in and how often it has fallen asleep; empty if one of them does not
// sleep in a futex wait without a time limit, or cannot be looked at.
inline std::string Sleepers(pid_t pid) {
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task/";
  DIR* const folder = opendir(tasks.c_str());
  if (folder == nullptr) return "";
  std::string all;
  bool sleep = true;
  while (const dirent* const entry = readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    std::string call, line, switches;
    std::getline(std::ifstream(tasks + entry->d_name + "/syscall"), call);
    std::ifstream status(tasks + entry->d_name + "/status");
    while (std::getline(status, line)) {
      if (line.compare(0, 9, "voluntary") == 0) switches = line;
    }
    long number = -1;
    unsigned long word = 0, operation = 0, value = 0, limit = 1;
    std::sscanf(call.c_str(), "%ld %lx %lx %lx %lx", &number, &word, &operation, &value, &limit);
    sleep = sleep && number == SYS_futex && limit == 0 && !switches.empty();
    all += entry->d_name + (" " + call + " " + switches + "\n");
  }
  closedir(folder);
  return sleep ? all : "";
}

// Whether child `pid` ends, with 0 then. False: it never will, and is killed. All its threads were asleep at one time
// in futex waits without a time limit, that is, between two looks at which none had been awake meanwhile; so it has
// nobody to wake it, unless the words lie in memory that it shares. No time is measured.
inline bool Ends(pid_t pid) {
  std::string before;
  for (;; std::this_thread::yield()) {
    int status = 0;
    const pid_t ended = waitpid(pid, &status, WNOHANG);
    CHECK(ended >= 0);
    if (ended == pid) {
      CHECK_EQ(status, 0);
      return true;
    }
    const std::string now = Sleepers(pid);
    if (!now.empty() && now == before) break;
    before = now;
  }
  kill(pid, SIGKILL);
  CHECK_EQ(waitpid(pid, nullptr, 0), pid);
  return false;
}

// `EBUSY` for 16, and so on.
inline std::string ErrorName(int error) {
  switch (error) {
    case 0:
      return "0";
    case EPERM:
      return "EPERM";
    case EBUSY:
      return "EBUSY";
    case EDEADLK:
      return "EDEADLK";
    case ETIMEDOUT:
      return "ETIMEDOUT";
    case EOWNERDEAD:
      return "EOWNERDEAD";
    case ENOTRECOVERABLE:
      return "ENOTRECOVERABLE";
    default:
      return std::to_string(error);
  }
}

// A mutex as it was asked for. Stays.
inline pthread_mutex_t* NewMutex(int kind, bool robust = false, bool shared = false) {
  pthread_mutexattr_t attributes;
  CHECK_EQ(pthread_mutexattr_init(&attributes), 0);
  CHECK_EQ(pthread_mutexattr_settype(&attributes, kind), 0);
  if (robust) CHECK_EQ(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), 0);
  if (shared) CHECK_EQ(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), 0);
  auto* const mutex = Shared<pthread_mutex_t>();
  if (!shared) {  // in memory of each process's own, as its word says
    CHECK(mmap(mutex, sizeof *mutex, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mutex);
  }
  CHECK_EQ(pthread_mutex_init(mutex, &attributes), 0);
  return mutex;
}

}  // namespace atfork::test

#endif  // ATFORK_TEST_NATIVE_SEMANTICS_HELPERS_H_

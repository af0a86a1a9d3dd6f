// child_limits.cc - see child_limits.h.
// Runs in:  the main thread; TellCompletion in the child.
// Calls:    getrlimit(2), poll(2), pthread_create(3), futex(2), waitpid(2); proc(5): loadavg, self/cgroup; cgroups(7)
// pids. Rests on: the fourth field of /proc/loadavg: how many tasks there are in all. No user, cgroup or namespace has
// more.
#include "runtime/child_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>
#include <string>
#include <vector>

#include "posix/fd.h"
#include "posix/futex.h"

namespace atfork::runtime {
namespace {

enum Answer : uint32_t { kNoAnswer, kComplete, kFailed, kGivenUp };

struct SharedWord {
  std::atomic<uint32_t> answer{kNoAnswer};  // futex
  std::atomic<int> error{0};
};

// Process-wide, main thread only. A process that is moved to another cgroup later keeps the old one's limits here.
struct State {
  long system_tasks = 0;
  std::vector<std::string> limited_groups;  // folders of cgroups with a limit
  SharedWord* word = nullptr;
};
State state;

constexpr int kDefaultPoolSize = 4;
constexpr int kMaxPoolSize = 1024;
// A child opens some eight more than its parent had (loop_replacement, libuv's uv_loop_fork), and gives most of them
// back.
constexpr int kChildFds = 32;
// The child's end is noticed by looking for it.
constexpr double kCompletionPatienceMs = 10 * 1000;
constexpr struct timespec kBetweenLooks = {0, 20 * 1000 * 1000};

// The number in a file; `otherwise` when there is none ("max").
long ReadNumber(const std::string& path, long otherwise) {
  std::FILE* const file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return otherwise;
  long value = otherwise;
  if (std::fscanf(file, "%ld", &value) != 1) value = otherwise;
  std::fclose(file);
  return value;
}

// "0.20 0.18 0.12 1/80 11206"; -1 when it cannot be read. Read at each fork.
long TasksInAll() {
  char text[128];
  const UniqueFd file(open("/proc/loadavg", O_RDONLY | O_CLOEXEC));
  const ssize_t length = file ? read(file.get(), text, sizeof text - 1) : -1;
  if (length <= 0) return -1;
  text[length] = '\0';
  const char* const slash = std::strchr(text, '/');
  return slash == nullptr ? -1 : std::atol(slash + 1);
}

// The group at `path` below `mount`, and those above it.
void AddLimitedGroups(const std::string& mount, std::string path) {
  while (path.size() > 1) {
    if (ReadNumber(mount + path + "/pids.max", -1) >= 0) state.limited_groups.push_back(mount + path);
    path.resize(path.rfind('/'));
  }
  // In a cgroup namespace the group's own files are at its root.
  if (ReadNumber(mount + "/pids.max", -1) >= 0) state.limited_groups.push_back(mount);
}

void LearnGroups() {
  std::FILE* const file = std::fopen("/proc/self/cgroup", "re");
  if (file == nullptr) return;
  char line[4096 + 64];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    line[std::strcspn(line, "\n")] = '\0';
    const char* const controllers = std::strchr(line, ':');
    const char* const path = controllers == nullptr ? nullptr : std::strchr(controllers + 1, ':');
    if (path == nullptr) continue;
    if (controllers[1] == ':') AddLimitedGroups("/sys/fs/cgroup", path + 1);
    if (std::strncmp(controllers, ":pids:", 6) == 0) AddLimitedGroups("/sys/fs/cgroup/pids", path + 1);
  }
  std::fclose(file);
}

struct Gate {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
};

void* PassThrough(void* argument) {
  auto* gate = static_cast<Gate*>(argument);
  pthread_mutex_lock(&gate->lock);
  pthread_mutex_unlock(&gate->lock);
  return nullptr;
}

}  // namespace

int PoolSize() {
  const char* const wanted = std::getenv("UV_THREADPOOL_SIZE");
  if (wanted == nullptr) return kDefaultPoolSize;
  return std::clamp(std::atoi(wanted), 1, kMaxPoolSize);
}

int ProbeThreads(int count) {
  Gate gate;
  std::vector<pthread_t> threads;
  threads.reserve(static_cast<size_t>(count));
  pthread_mutex_lock(&gate.lock);
  int error = 0;
  while (error == 0 && static_cast<int>(threads.size()) < count) {
    pthread_t thread;
    error = pthread_create(&thread, nullptr, PassThrough, &gate);
    if (error == 0) threads.push_back(thread);
  }
  pthread_mutex_unlock(&gate.lock);
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  return error;
}

void LoadChildLimits() {
  const long threads_max = ReadNumber("/proc/sys/kernel/threads-max", 0);
  const long pid_max = ReadNumber("/proc/sys/kernel/pid_max", 0);
  state.system_tasks = std::min(threads_max, pid_max);
  LearnGroups();
}

bool MayReachTaskLimit(int count) {
  struct rlimit own;
  if (getrlimit(RLIMIT_NPROC, &own) != 0) return true;
  const long limit = own.rlim_cur == RLIM_INFINITY ? state.system_tasks
                                                   : std::min(state.system_tasks, static_cast<long>(own.rlim_cur));
  const long tasks = TasksInAll();
  if (tasks < 0 || tasks + count >= limit) return true;
  return std::any_of(state.limited_groups.begin(), state.limited_groups.end(), [&](const std::string& group) {
    const long most = ReadNumber(group + "/pids.max", -1);
    if (most < 0 || tasks + count < most) return false;
    return ReadNumber(group + "/pids.current", most) + count >= most;
  });
}

// Whether the highest numbers that the limit allows are free: poll(2) says POLLNVAL of each that is not open.
bool MayReachFdLimit() {
  struct rlimit own;
  if (getrlimit(RLIMIT_NOFILE, &own) != 0 || own.rlim_cur < kChildFds) return true;
  const int limit = static_cast<int>(std::min<rlim_t>(own.rlim_cur, INT_MAX));
  struct pollfd highest[kChildFds] = {};
  for (int i = 0; i < kChildFds; ++i) highest[i].fd = limit - 1 - i;
  if (poll(highest, kChildFds, 0) < 0) return true;
  return std::any_of(std::begin(highest), std::end(highest), [](const auto& each) { return each.revents != POLLNVAL; });
}

Status ExpectCompletion() {
  // A page for each fork: a family shares what it inherits.
  void* const page = mmap(nullptr, sizeof(SharedWord), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return Error::Errno("mmap", "fork");
  state.word = new (page) SharedWord{};
  return Unit{};
}

bool ExpectsCompletion() { return state.word != nullptr; }

void ForgetCompletion() {
  if (state.word != nullptr) munmap(state.word, sizeof *state.word);
  state.word = nullptr;
}

bool TellCompletion(int error) {
  state.word->error.store(error);
  uint32_t nothing = kNoAnswer;
  if (!state.word->answer.compare_exchange_strong(nothing, error == 0 ? kComplete : kFailed)) return false;
  // Not a private futex: the parent waits in another address space.
  syscall(SYS_futex, &state.word->answer, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  return true;
}

int AwaitCompletion(pid_t child) {
  const int64_t deadline = DeadlineAfterMs(kCompletionPatienceMs);
  for (;;) {
    uint32_t answer = state.word->answer.load();
    if (answer == kNoAnswer && MonotonicNanos() >= deadline) {
      state.word->answer.compare_exchange_strong(answer, kGivenUp);
    }
    if (answer == kComplete) return 0;
    if (answer == kFailed) {
      while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
      }
      return state.word->error.load();
    }
    if (state.word->answer.load() == kGivenUp) return 0;
    // Killed: whoever waits for it will see how.
    siginfo_t info = {};
    if (waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == child) {
      return 0;
    }
    syscall(SYS_futex, &state.word->answer, FUTEX_WAIT, kNoAnswer, &kBetweenLooks, nullptr, 0);
  }
}

}  // namespace atfork::runtime

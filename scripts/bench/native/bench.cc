// bench.cc - what the benchmarks need and JavaScript does not have: forks without the library, and a control thread.
// Runs in:  the main thread of a process that scripts/bench starts, but for ControlThread. Not part of the package.
// Calls:    _Fork(3) (glibc 2.34), fork(3), waitpid(2), madvise(2), eventfd(2), pipe2(2); proc(5) smaps.
// Each child leaves by _exit(2) at once. Times are in microseconds, by CLOCK_MONOTONIC.
#include <fcntl.h>
#include <napi.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "exec.h"
#include "locks.h"

namespace {

struct Range {
  uintptr_t begin;
  uintptr_t end;
};

// V8's mappings as they were when readMarks was last called. Main thread only.
std::vector<Range> marked;

double NowUs() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

Napi::Value Fail(Napi::Env env, const char* syscall, int error) {
  Napi::Error::New(env, std::string(syscall) + ": " + std::strerror(error)).ThrowAsJavaScriptException();
  return env.Undefined();
}

// readMarks() -> bytes: finds the mappings that a fork leaves out ("dc" in smaps), for the two functions below.
Napi::Value ReadMarks(const Napi::CallbackInfo& info) {
  FILE* smaps = std::fopen("/proc/self/smaps", "re");
  if (smaps == nullptr) return Fail(info.Env(), "open", errno);
  marked.clear();
  double bytes = 0;
  char line[512];
  Range mapping = {0, 0};
  while (std::fgets(line, sizeof line, smaps) != nullptr) {
    Range range;
    char permissions[5];
    if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x", &range.begin, &range.end, permissions) == 3) {
      mapping = range;
    } else if (std::strncmp(line, "VmFlags:", 8) == 0 && std::strstr(line, " dc") != nullptr) {
      marked.push_back(mapping);
      bytes += static_cast<double>(mapping.end - mapping.begin);
    }
  }
  std::fclose(smaps);
  return Napi::Number::New(info.Env(), bytes);
}

// What V8 has unmapped since the marks were read makes madvise fail with ENOMEM for that part, and no harm.
void AdviseMarked(int advice) {
  for (const Range& range : marked) madvise(reinterpret_cast<void*>(range.begin), range.end - range.begin, advice);
}

void IncludeMarked(const Napi::CallbackInfo&) { AdviseMarked(MADV_DOFORK); }

void LeaveOutMarked(const Napi::CallbackInfo&) { AdviseMarked(MADV_DONTFORK); }

// Shared with the children: when the last one came out of its fork.
double* child_clock = nullptr;

// -> {parent, child}: the time until the call returned there.
Napi::Value TimeFork(Napi::Env env, pid_t (*fork_function)()) {
  const double start = NowUs();
  const pid_t pid = fork_function();
  if (pid == 0) {
    *child_clock = NowUs();
    _exit(0);
  }
  const double parent = NowUs() - start;
  if (pid < 0) return Fail(env, "fork", errno);
  while (waitpid(pid, nullptr, 0) < 0) {
    if (errno != EINTR) return Fail(env, "waitpid", errno);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("parent", parent);
  result.Set("child", *child_clock - start);
  return result;
}

// rawFork(): _Fork(3), which runs no handler of pthread_atfork(3).
Napi::Value RawFork(const Napi::CallbackInfo& info) { return TimeFork(info.Env(), _Fork); }

// forkWithHeap() -> pid: _Fork(3) as a program would have it, V8's heap included, and left out again as it was.
Napi::Value ForkWithHeap(const Napi::CallbackInfo& info) {
  AdviseMarked(MADV_DOFORK);
  const pid_t pid = _Fork();
  if (pid == 0) _exit(0);
  AdviseMarked(MADV_DONTFORK);
  if (pid < 0) return Fail(info.Env(), "fork", errno);
  return Napi::Number::New(info.Env(), pid);
}

// libcFork(): fork(3), with everybody's handlers.
Napi::Value LibcFork(const Napi::CallbackInfo& info) { return TimeFork(info.Env(), fork); }

// makePipe() -> [read end, write end]
Napi::Value MakePipe(const Napi::CallbackInfo& info) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return Fail(info.Env(), "pipe2", errno);
  Napi::Array ends = Napi::Array::New(info.Env(), 2);
  ends.Set(0u, fds[0]);
  ends.Set(1u, fds[1]);
  return ends;
}

// Written once, before the control thread starts.
int request = -1;
int answer = -1;

void* ControlThread(void*) {
  eventfd_t value;
  for (;;) {
    if (eventfd_read(request, &value) == 0) eventfd_write(answer, 1);
  }
}

// startControl(): a thread that sleeps and answers, with signals blocked so that none wakes it.
Napi::Value StartControl(const Napi::CallbackInfo& info) {
  request = eventfd(0, EFD_CLOEXEC);
  answer = eventfd(0, EFD_CLOEXEC);
  if (request < 0 || answer < 0) return Fail(info.Env(), "eventfd", errno);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int error = pthread_create(&thread, nullptr, ControlThread, nullptr);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) return Fail(info.Env(), "pthread_create", error);
  pthread_detach(thread);
  return info.Env().Undefined();
}

// controlRoundTrip() -> how long it took to wake the control thread and to be woken by it.
Napi::Value ControlRoundTrip(const Napi::CallbackInfo& info) {
  eventfd_t value;
  const double start = NowUs();
  eventfd_write(request, 1);
  while (eventfd_read(answer, &value) != 0) {
    if (errno != EINTR) return Fail(info.Env(), "read", errno);
  }
  return Napi::Number::New(info.Env(), NowUs() - start);
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  void* shared = mmap(nullptr, sizeof *child_clock, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) {
    Fail(env, "mmap", errno);
    return exports;
  }
  child_clock = static_cast<double*>(shared);
  exports.Set("readMarks", Napi::Function::New(env, ReadMarks));
  exports.Set("includeMarked", Napi::Function::New(env, IncludeMarked));
  exports.Set("leaveOutMarked", Napi::Function::New(env, LeaveOutMarked));
  exports.Set("rawFork", Napi::Function::New(env, RawFork));
  exports.Set("forkWithHeap", Napi::Function::New(env, ForkWithHeap));
  exports.Set("libcFork", Napi::Function::New(env, LibcFork));
  exports.Set("makePipe", Napi::Function::New(env, MakePipe));
  exports.Set("startControl", Napi::Function::New(env, StartControl));
  exports.Set("controlRoundTrip", Napi::Function::New(env, ControlRoundTrip));
  InitExec(env, exports);
  InitLocks(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(bench, Init)

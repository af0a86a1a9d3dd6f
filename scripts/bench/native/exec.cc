// exec.cc - what posix_spawn(3) can do, for forkExec() to be compared with.
// Runs in:  the main thread of a process that scripts/bench starts.
// Calls:    posix_spawn(3), waitpid(2), sched_setaffinity(2). Times are in microseconds, by CLOCK_MONOTONIC.
#include "exec.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>

extern char** environ;

namespace {

double NowUs() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

// spawns(count) -> us that each call took; null: one failed. The children are reaped in between. As child_process has
// it, stdio is /dev/null.
Napi::Value Spawns(const Napi::CallbackInfo& info) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", fd == 0 ? O_RDONLY : O_RDWR, 0);
  }
  char name[] = "/bin/true";
  char* const args[] = {name, nullptr};
  Napi::Array times = Napi::Array::New(info.Env());
  const uint32_t count = info[0].As<Napi::Number>().Uint32Value();
  bool failed = false;
  for (uint32_t i = 0; i < count && !failed; ++i) {
    pid_t pid = 0;
    const double start = NowUs();
    failed = posix_spawn(&pid, name, &actions, nullptr, args, environ) != 0;
    times.Set(i, NowUs() - start);
    int status = 0;
    failed = failed || waitpid(pid, &status, 0) != pid || status != 0;
  }
  posix_spawn_file_actions_destroy(&actions);
  return failed ? info.Env().Null() : times.As<Napi::Value>();
}

// pin(tid): that thread runs on the first processor of this process from now on, and so does what it starts.
Napi::Value Pin(const Napi::CallbackInfo& info) {
  cpu_set_t processors;
  if (sched_getaffinity(0, sizeof processors, &processors) != 0) return Napi::Boolean::New(info.Env(), false);
  int first = 0;
  while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &processors)) ++first;
  CPU_ZERO(&processors);
  CPU_SET(first, &processors);
  const int result = sched_setaffinity(info[0].As<Napi::Number>().Int32Value(), sizeof processors, &processors);
  return Napi::Boolean::New(info.Env(), result == 0);
}

}  // namespace

void InitExec(Napi::Env env, Napi::Object exports) {
  exports.Set("spawns", Napi::Function::New(env, Spawns));
  exports.Set("pin", Napi::Function::New(env, Pin));
}

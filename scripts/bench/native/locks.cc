// locks.cc - what pthread mutexes can do, for the locks to be compared with.
// Runs in:  the main thread of a process that scripts/bench starts, and the threads that it starts for a while.
// Calls:    pthread_mutex_lock(3) and its kin, pthread_create(3).
#include "locks.h"

#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#include <cstdint>
#include <vector>

#include "include/atfork.h"

namespace {

double NowUs() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

// recursivePairs(count) -> us: takes and releases a recursive mutex that nobody else wants.
Napi::Value RecursivePairs(const Napi::CallbackInfo& info) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_t mutex;
  pthread_mutex_init(&mutex, &attributes);
  const int64_t count = info[0].As<Napi::Number>().Int64Value();
  const double start = NowUs();
  for (int64_t i = 0; i < count; ++i) {
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
  }
  return Napi::Number::New(info.Env(), NowUs() - start);
}

// robustPairs(count) -> us: the same with a robust mutex in memory that processes share. Null: there is none.
Napi::Value RobustPairs(const Napi::CallbackInfo& info) {
  void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return info.Env().Null();
  auto* const mutex = static_cast<pthread_mutex_t*>(memory);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(mutex, &attributes);
  const int64_t count = info[0].As<Napi::Number>().Int64Value();
  const double start = NowUs();
  for (int64_t i = 0; i < count; ++i) {
    pthread_mutex_lock(mutex);
    pthread_mutex_unlock(mutex);
  }
  const double us = NowUs() - start;
  munmap(memory, 4096);
  return Napi::Number::New(info.Env(), us);
}

// apiPairs(count) -> us: the same with the package's global lock, by atfork.h. Null: it is not loaded.
Napi::Value ApiPairs(const Napi::CallbackInfo& info) {
  const atfork_api* const atfork = atfork_find();
  if (atfork == nullptr) return info.Env().Null();
  atfork_lock* const lock = atfork->global_lock();
  const int64_t count = info[0].As<Napi::Number>().Int64Value();
  const double start = NowUs();
  for (int64_t i = 0; i < count; ++i) {
    if (atfork->lock(lock) != 0 || atfork->unlock(lock) != 0) return info.Env().Null();
  }
  return Napi::Number::New(info.Env(), NowUs() - start);
}

struct Contest {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  double deadline = 0;
  int steps = 0;
  volatile int32_t cells[8] = {};
};

struct Contender {
  Contest* contest;
  pthread_t thread;
  int64_t rounds;
};

void* Contend(void* arg) {
  Contender* const self = static_cast<Contender*>(arg);
  Contest* const contest = self->contest;
  int64_t rounds = 0;
  do {
    for (int i = 0; i < 256; ++i, ++rounds) {
      pthread_mutex_lock(&contest->mutex);
      for (int step = 0; step < contest->steps; ++step) contest->cells[step & 7] = contest->cells[step & 7] + 1;
      pthread_mutex_unlock(&contest->mutex);
    }
  } while (NowUs() < contest->deadline);
  self->rounds = rounds;
  return nullptr;
}

// contend(threads, us, steps) -> rounds of each thread
Napi::Value RunContest(const Napi::CallbackInfo& info) {
  Contest contest;
  contest.deadline = NowUs() + info[1].As<Napi::Number>().DoubleValue();
  contest.steps = info[2].As<Napi::Number>().Int32Value();
  std::vector<Contender> contenders(info[0].As<Napi::Number>().Uint32Value(), Contender{&contest, {}, 0});
  for (Contender& each : contenders) pthread_create(&each.thread, nullptr, Contend, &each);
  Napi::Array rounds = Napi::Array::New(info.Env());
  for (Contender& each : contenders) {
    pthread_join(each.thread, nullptr);
    rounds.Set(rounds.Length(), static_cast<double>(each.rounds));
  }
  return rounds;
}

}  // namespace

void InitLocks(Napi::Env env, Napi::Object exports) {
  exports.Set("recursivePairs", Napi::Function::New(env, RecursivePairs));
  exports.Set("robustPairs", Napi::Function::New(env, RobustPairs));
  exports.Set("apiPairs", Napi::Function::New(env, ApiPairs));
  exports.Set("contend", Napi::Function::New(env, RunContest));
}

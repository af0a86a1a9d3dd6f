// locks.h - the part of the benchmarks' addon that is about locks.
#ifndef ATFORK_BENCH_LOCKS_H_
#define ATFORK_BENCH_LOCKS_H_

#include <napi.h>

void InitLocks(Napi::Env env, Napi::Object exports);

#endif  // ATFORK_BENCH_LOCKS_H_

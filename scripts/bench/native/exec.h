// exec.h - the part of the benchmarks' addon that is about starting programs.
#ifndef ATFORK_BENCH_EXEC_H_
#define ATFORK_BENCH_EXEC_H_

#include <napi.h>

void InitExec(Napi::Env env, Napi::Object exports);

#endif  // ATFORK_BENCH_EXEC_H_

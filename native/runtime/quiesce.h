// quiesce.h - brings every other thread of the runtime to a place where a fork can be survived.
#ifndef ATFORK_RUNTIME_QUIESCE_H_
#define ATFORK_RUNTIME_QUIESCE_H_

#include <uv.h>

#include <cstdint>
#include <string>

#include "posix/result.h"
#include "runtime/pool_rest.h"

namespace atfork::runtime {

struct QuiesceTerms {
  uv_loop_t* loop;   // the main thread's
  int64_t deadline;  // MonotonicNanos()
  PoolRest pool;
};

// Parks every thread of the runtime, with libuv's pool at rest and held there (pool_rest.h), or none: the error says
// who could not be, where it stood, and nothing has changed. Main thread.
Status Quiesce(const QuiesceTerms& terms);

// Stops nobody. What a thread of libuv's pool that is inside a request does; empty when there is none. Main thread.
Result<std::string> FindPoolWork();

// Parent: lets them go on.
void Unquiesce();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_QUIESCE_H_

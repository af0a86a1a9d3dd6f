// quiesce.h - brings every other thread of the runtime to a place where a fork can be survived.
#ifndef ATFORK_RUNTIME_QUIESCE_H_
#define ATFORK_RUNTIME_QUIESCE_H_

#include <uv.h>

#include <cstdint>

#include "posix/result.h"

namespace atfork::runtime {

// Parks every thread of the runtime, with libuv's pool at rest and held there (pool_rest.h), or none: the error says
// who could not be, where it stood, and nothing has changed. Main thread, with its loop. `deadline`: MonotonicNanos().
Status Quiesce(uv_loop_t* loop, int64_t deadline);

// Parent: lets them go on.
void Unquiesce();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_QUIESCE_H_

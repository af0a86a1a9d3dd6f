// hold.h - keeps a Worker's thread from running in the child until it has been told to end.
//
// CHILD ZONE. Terminating a Worker takes locks of V8 and Node that this very thread may hold (it was parked anywhere in
// their code). So the hold is given up when the forking thread turns out to wait for such a lock, or takes far too
// long. A Worker's own Workers, which nobody but that Worker can reach, stay held beyond that, until it waits for their
// end (pthread_join); but not for long, since it may be such a lock of theirs that it waits for.
#ifndef ATFORK_CHILD_HOLD_H_
#define ATFORK_CHILD_HOLD_H_

#include "child/thread_restart.h"

namespace atfork::child {

// Exit status of a child that could not be made complete; it says why on stderr.
constexpr int kChildFailure = 126;

// On the held thread, standing on its restart stack. Returns when it may run.
void Hold(RestartRecord* record);

// On the forking thread: lets a held thread go.
void Release(RestartRecord* record);

}  // namespace atfork::child

#endif  // ATFORK_CHILD_HOLD_H_

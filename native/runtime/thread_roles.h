// thread_roles.h - which of the runtime's threads is which.
//
// Names do not tell (Node 20 calls every thread `node`), but what a thread was started with does: libuv and V8 hand
// pthread_create the function itself, and there is one for the pool, one for JavaScript Workers, and so on.
#ifndef ATFORK_RUNTIME_THREAD_ROLES_H_
#define ATFORK_RUNTIME_THREAD_ROLES_H_

#include <cstdint>

#include "posix/result.h"
#include "posix/thread_census.h"
#include "runtime/park_position.h"

namespace atfork::runtime {

// Learns what threads are told by, once. Any thread; nothing below says anything before.
Status LearnThreadRoles();

// Begins to watch which threads the runtime starts. Main thread, once, at load.
Status WatchThreadStarts();

// Forking thread: what is known stays as it is from here on, until both the parent and the child have unlocked.
void LockThreadRoles();
void UnlockThreadRoles();

// A JavaScript Worker's routine: learned on such a thread, or just after the main thread has started one. Node's own
// Worker (the thread of module.register's hooks, which the main thread cannot import without) is no Worker in this
// sense: `node_s` makes the one just started a thread of the runtime like any other.
void LearnWorkerRoutineFromThisThread();
void LearnWorkerRoutineFromLastStart(bool node_s);

// The same for a Worker of Node's that was started before this addon was loaded: it is the first Worker that there is.
// False when there is none. The routine must be known.
bool KeepEarliestWorker();

// The pool's: learned in a work item.
void LearnPoolRoutineFromThisThread();
bool KnowsPoolRoutine();

// How many threads the runtime has begun to start, since it is watched.
uint64_t ThreadStarts();

// Whether a thread started with `routine` belongs to the runtime, and as what it takes part in a fork.
bool IsRuntimeRoutine(uintptr_t routine);
// Whether the calling thread is one of them; the main thread is not.
bool IsRuntimeThread();
ThreadRole RoleOf(uintptr_t routine, uintptr_t descriptor);

// Whether the Worker with this struct pthread was started by another Worker.
bool IsNestedWorker(uintptr_t descriptor);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_THREAD_ROLES_H_

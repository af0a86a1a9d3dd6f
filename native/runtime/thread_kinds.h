// thread_kinds.h - what each thread of the process is for, and what becomes of it in a forked child: the `kind` and the
// `afterFork` of threads() in JavaScript.
//
// A fork needs less (thread_roles.h). What else there is to know of the runtime's threads, the name of their start
// routine tells: where the program was stripped of such names, V8's and the inspector's are `runtime`.
#ifndef ATFORK_RUNTIME_THREAD_KINDS_H_
#define ATFORK_RUNTIME_THREAD_KINDS_H_

#include "posix/result.h"
#include "posix/thread_census.h"

namespace atfork::runtime {

// Makes this what threads() says. Any thread, at load. Where fork() cannot be offered for some other reason, and in a
// Worker of a process whose main thread has not loaded this, threads are told all the same.
Status LoadThreadKinds();

// For threads(): posix/thread_census.h, SetThreadClassifier. Any thread.
ThreadClass ClassifyThread(const ThreadRecord& record);

// The same, without learning any new name: takes no lock of the loader's, so that others may be parked. The forking
// thread.
ThreadClass ClassifyKnownThread(const ThreadRecord& record);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_THREAD_KINDS_H_

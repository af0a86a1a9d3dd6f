// worker_aborts.h - in a child, a Worker of the parent that Node aborts on ends alone.
//
// While a Worker is being ended, calls into V8 fail in its thread, and not all of Node's own code is ready for that: an
// assertion fails (FileHandle::ClosePromise in Node 20, ZlibContext's "close before init" in all), and with it the
// process. One worker.terminate() in tens of thousands meets that, wherever Node runs; a child ends all of its Workers
// at every fork. Those are confined and wanted for nothing any more: abort(3) ends such a thread and nothing else.
#ifndef ATFORK_RUNTIME_WORKER_ABORTS_H_
#define ATFORK_RUNTIME_WORKER_ABORTS_H_

#include <cstdint>
#include <vector>

#include "posix/result.h"

namespace atfork::runtime {

// Main thread, once, at load.
Status WatchAborts();

// Child, main thread, before Workers come back: those that the main thread started, by their struct pthread. None has
// been ended so yet.
void ExpectAborts(std::vector<uintptr_t> own_workers);

// On a confined thread, from anywhere: it ends as if Node had aborted on it.
void EndConfinedThread();

// How many of those have been. Nobody else tells it: their Worker objects do not hear of their end.
int AbortedWorkers();

// Child, main thread: `tell` is called on each such thread, as the last that it does.
void ListenToAborts(void (*tell)());

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_WORKER_ABORTS_H_

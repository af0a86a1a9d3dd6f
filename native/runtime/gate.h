// gate.h - where threads wait while a fork is being prepared, so that they can be parked.
//
// A signal is taken when a system call returns: inside libc, where nobody may be parked. So a thread that makes one
// system call after another is hardly ever met outside, however often it is asked. The watchers of such calls
// (heap_mappings: V8 giving back memory, many pages at a time; loop_fds: spawnSync making loops) pass through here.
#ifndef ATFORK_RUNTIME_GATE_H_
#define ATFORK_RUNTIME_GATE_H_

namespace atfork::runtime {

// Main thread, before it asks others to park.
void CloseGate();
// Once they are to go on: the main thread, in the parent and in the child; or a parked thread that gives up the fork,
// in its signal handler.
void OpenGate();

// Any thread: one of the runtime's waits while the gate is closed in this process. Others, which are never parked,
// pass: the forking thread may need a lock of theirs. The caller holds none that fork(3) takes.
void PassGate();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_GATE_H_

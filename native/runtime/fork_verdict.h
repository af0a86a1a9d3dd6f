// fork_verdict.h - whether a fork counts, decided once for both processes.
//
// A thread that has been parked for too long gives the fork up rather than hang (park_signal.h). That may happen before
// the kernel has made the child, or after: parent and child would each read a memory of their own and could differ. So
// the word lies in memory that they share, and whoever writes first decides.
#ifndef ATFORK_RUNTIME_FORK_VERDICT_H_
#define ATFORK_RUNTIME_FORK_VERDICT_H_

#include <cstdint>

#include "posix/result.h"

namespace atfork::runtime {

// Whether the word lies there: the one mapping that is meant to be shared.
bool IsVerdictMapping(uintptr_t address);

// Forking thread, before anybody is parked. A process that has forks of its own has a word of its own.
Status BeginVerdict();

// Child: the word that it has is its parent's. Not told by getpid(2), which in a new pid namespace may be the parent's.
void DisownVerdict();

// The fork that is being made. For a thread that parks.
uint64_t ForkNumber();

// A parked thread: true when that fork does not count from here on; false when it does, or is over.
bool GiveUpFork(uint64_t number);

// Forking thread, in the parent and in the child: false when it has been given up.
bool CommitFork();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_FORK_VERDICT_H_

// exit_joins.h - a child that leaves does not wait for ever for V8's threads.
//
// process.exit() joins them. One that is compiling may need a garbage collection, which only the main thread can do:
// then both wait, in every Node (nodejs/node #54918). A child is forked in the middle of compilations, and has often
// little to do, so it leaves at such an instant more often than other processes do. What is left of the thread is
// sleep: it is left behind, and ends with the process.
#ifndef ATFORK_RUNTIME_EXIT_JOINS_H_
#define ATFORK_RUNTIME_EXIT_JOINS_H_

#include "posix/result.h"

namespace atfork::runtime {

// Begins to watch. Main thread, once, at load.
Status WatchJoins();

// Child, its main thread: from here on.
void GiveUpHopelessJoins();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_EXIT_JOINS_H_

// credentials.h - process.setuid and its kin reach the threads that were brought back.
//
// POSIX has one set of ids per process, Linux one per thread: libc signals every thread to make the change too
// (nptl(7)). It signals by the id in struct pthread, and a thread that was brought back keeps its old one there
// (recursive mutexes hold it), so libc would leave it behind with the old privileges. In a child those threads are
// told by us, after libc has told the others.
#ifndef ATFORK_RUNTIME_CREDENTIALS_H_
#define ATFORK_RUNTIME_CREDENTIALS_H_

#include "posix/result.h"

namespace atfork::runtime {

// Main thread, once, at load.
Status WatchCredentials();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_CREDENTIALS_H_

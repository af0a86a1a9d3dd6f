// exit.h - end the process at once.
#ifndef ATFORK_POSIX_EXIT_H_
#define ATFORK_POSIX_EXIT_H_

namespace atfork {

// Ends every thread of the process; the parent sees `code` & 0377. See exit.cc.
[[noreturn]] void ExitNow(int code);

}  // namespace atfork

#endif  // ATFORK_POSIX_EXIT_H_

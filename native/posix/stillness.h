// stillness.h - whether anything in this process can ever happen again by itself.
#ifndef ATFORK_POSIX_STILLNESS_H_
#define ATFORK_POSIX_STILLNESS_H_

namespace atfork {

// Whether every other thread sleeps in a wait without a time limit: for a futex (locks, condition variables, joins), or
// for events. If the caller waits for one of them as well, they may all wait for each other. A look is no proof: one
// that has just been woken, or waits for another process, looks the same. False when it cannot be told.
bool AllOthersSleep();

}  // namespace atfork

#endif  // ATFORK_POSIX_STILLNESS_H_

// signals_blocked.h - no signal handler runs on this thread for as long as it lives.
//
// All signals, those that libc keeps out of sigfillset(3) included: this library's own is one of those.
//
// Runs in:  any thread. Async-signal-safe.
// Calls:    rt_sigprocmask(2).
#ifndef ATFORK_POSIX_SIGNALS_BLOCKED_H_
#define ATFORK_POSIX_SIGNALS_BLOCKED_H_

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace atfork {

class SignalsBlocked {
 public:
  SignalsBlocked() { Set(~uint64_t{0}, &before_); }
  ~SignalsBlocked() { Set(before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  // What was blocked: bit 0 is signal 1.
  uint64_t before() const { return before_; }

 private:
  static void Set(uint64_t mask, uint64_t* before) {
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, before, sizeof mask);
  }
  uint64_t before_ = 0;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_SIGNALS_BLOCKED_H_

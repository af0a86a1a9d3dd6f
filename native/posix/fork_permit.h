// fork_permit.h - whether fork() may fork: not while a thread is in a section that no fork may fall into, and never
// again once somebody has said that this process is not fork-safe.
//
// Nobody waits for anybody here. fork() asks when every other thread that runs JavaScript is parked, which none is
// inside this addon: so a section has begun before that, and then there is no fork, or it begins after the fork.
//
// A thread that was brought back in a child, to be ended there, is none of the child's: it has no say here. Forks that
// are not ours do not ask.
//
// Runs in:  any thread; EnterChild on the only thread of the child. See fork_permit.cc.
#ifndef ATFORK_POSIX_FORK_PERMIT_H_
#define ATFORK_POSIX_FORK_PERMIT_H_

#include <atomic>
#include <cstdint>

#include "posix/result.h"
#include "posix/thread_identity.h"

namespace atfork {

class ForkPermit {
 public:
  constexpr ForkPermit() = default;
  ForkPermit(const ForkPermit&) = delete;
  ForkPermit& operator=(const ForkPermit&) = delete;

  // `self` is the calling thread, always. Sections nest; Leave does nothing outside of one. False: this thread belongs
  // to the parent of this process, and must not begin anything here.
  [[nodiscard]] bool Enter(ThreadIdentity* self);
  void Leave(ThreadIdentity* self);
  // This thread ends: it has left every section.
  void Abandon(ThreadIdentity* self);

  // For good. The reason that was given first stays.
  void MarkNotForkSafe(const ThreadIdentity& self, const char* reason);

  // ERR_ATFORK_NOT_FORK_SAFE or ERR_ATFORK_PREVENTED, if it may not.
  Status Check(const ThreadIdentity& self) const;

  // Every child: what is left is what the thread that forked had entered. `self` belongs to the child already.
  void EnterChild(const ThreadIdentity& self);

 private:
  bool IsForeign(const ThreadIdentity& self) const;

  // The sum of what the threads of this process have entered (ThreadIdentity::fork_sections).
  std::atomic<uint32_t> sections_{0};
  std::atomic<uint32_t> generation_{0};  // of this process; written in the child handler only
  // Null: nobody has said so. Never freed.
  std::atomic<const char*> not_fork_safe_{nullptr};
};

}  // namespace atfork

#endif  // ATFORK_POSIX_FORK_PERMIT_H_

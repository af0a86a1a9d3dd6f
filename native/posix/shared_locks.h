// shared_locks.h - the locks between processes that this process uses. See shared_locks.cc.
#ifndef ATFORK_POSIX_SHARED_LOCKS_H_
#define ATFORK_POSIX_SHARED_LOCKS_H_

#include <atomic>
#include <string>

#include "posix/fd.h"
#include "posix/result.h"
#include "posix/shared_lock.h"
#include "posix/short_lock.h"

namespace atfork {

// Those of this process: one for each object, however often it was opened, and by whichever copy of this package.
class SharedLocks {
 public:
  constexpr SharedLocks() = default;
  SharedLocks(const SharedLocks&) = delete;
  SharedLocks& operator=(const SharedLocks&) = delete;

  // Each is to be closed. The names are those of shared_object.h.
  Result<SharedLock*> CreateAnonymous();
  Result<SharedLock*> Create(const std::string& name, bool tracked);
  Result<SharedLock*> Open(const std::string& name);
  Result<SharedLock*> OpenFd(int fd);
  Status Unlink(const std::string& name);
  // What the calling thread holds of it is orphaned if nobody else in this process uses it.
  void Close(SharedLock* lock, const ThreadIdentity& self);

  // The end of a pipe that is to be read by a process that unlinks names: -1 when there is one already. Its other end
  // is told of every name that is created with `tracked`, and is closed in a child.
  Result<int> OpenTracker();
  // Nobody reads it any more.
  void CloseTracker();
  // Of a name that the last one knew.
  void TellTracker(const std::string& name, uint64_t inode);

  // Whether it is the page of one of them.
  bool IsPage(const void* memory);

  void AbandonAll(const ThreadIdentity& self);
  // Every fork, from the at-fork handlers: nobody is in the middle of opening or closing one while memory and
  // descriptors are copied. A handler of somebody else's may fork in the middle of it.
  void PrepareForFork(const ThreadIdentity& self);
  void AfterForkParent();
  void EnterChild();

 private:
  Result<SharedLock*> Adopt(Result<UniqueFd> data);
  // One more use of what lies behind `data`, by the lock that this process has for it already, or by a new one.
  Result<SharedLock*> Use(UniqueFd data);

  SharedLock* Find(uint64_t device, uint64_t inode) const;

  // Guards the list, and what is in use of it. System calls are made under it, and roll_lock_ is taken.
  ShortLock lock_;
  std::atomic<SharedLock*> first_{nullptr};
  std::atomic<int> tracker_{-1};
  // Of the thread that forks; written under lock_.
  std::atomic<uint32_t> forker_{0};
  uint32_t forks_ = 0;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_SHARED_LOCKS_H_

// shared_locks.cc - the locks between processes that this process uses.
// Runs in:  any thread; those of a fork in the at-fork handlers.
// Calls:    those of shared_object.h; mmap(2), munmap(2), fstat(2), pipe2(2), close(2). The handlers: open(2),
// fcntl(2),
//           close(2).
// Allocates: a SharedLock for each object that is in use at a time, which is used again and never freed: a child
// handler
//           may come by at any moment.
#include "posix/shared_locks.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <utility>

#include "posix/every_child.h"
#include "posix/process_state.h"
#include "posix/shared_object.h"

namespace atfork {

Result<SharedLock*> SharedLocks::CreateAnonymous() { return Adopt(CreateAnonymousPage()); }

Result<SharedLock*> SharedLocks::Create(const std::string& name, bool tracked) {
  const int tracker = tracked ? tracker_.load() : -1;
  auto created = CreateNamedPage(name, tracker);
  if (!created.ok()) return created.error();
  auto lock = Adopt(std::move(created));
  if (!lock.ok()) static_cast<void>(UnlinkSharedName(name, tracker));
  return lock;
}

Result<SharedLock*> SharedLocks::Open(const std::string& name) {
  for (;;) {
    auto lock = Adopt(OpenNamedPage(name));
    struct stat found;
    if (!lock.ok() || fstat(lock.value()->fd(), &found) != 0 || found.st_nlink != 0) return lock;
    // Its name was taken away before this process was known to use it. There is none now, or another one's.
    Close(lock.value(), ThisThread());
  }
}

Status SharedLocks::Unlink(const std::string& name) { return UnlinkSharedName(name, tracker_.load()); }

Result<SharedLock*> SharedLocks::OpenFd(int fd) { return Adopt(OpenAnonymousPage(fd)); }

Result<SharedLock*> SharedLocks::Adopt(Result<UniqueFd> data) {
  if (!data.ok()) return data.error();
  auto lock = Use(std::move(data.value()));
  if (!lock.ok()) return lock;
  const Status entered = lock.value()->Enter();
  if (entered.ok()) return lock;
  Close(lock.value(), ThisThread());
  return entered.error();
}

SharedLock* SharedLocks::Find(uint64_t device, uint64_t inode) const {
  SharedLock* lock = first_.load();
  while (lock != nullptr && (lock->page_ == nullptr || lock->device_ != device || lock->inode_ != inode)) {
    lock = lock->next_.load();
  }
  return lock;
}

Result<SharedLock*> SharedLocks::Use(UniqueFd data) {
  struct stat found;
  if (fstat(data.get(), &found) != 0) return Error::Errno("fstat", "shared lock");
  const ShortLock::Guard guard(&lock_);
  SharedLock* lock = Find(found.st_dev, found.st_ino);
  if (lock != nullptr) {
    ++lock->users_;
    return lock;
  }
  void* const page = mmap(nullptr, SharedPage::kSize, PROT_READ | PROT_WRITE, MAP_SHARED, data.get(), 0);
  if (page == MAP_FAILED) return Error::Errno("mmap", "shared lock");
  lock = first_.load();
  while (lock != nullptr && lock->page_ != nullptr) lock = lock->next_.load();
  if (lock == nullptr) {
    lock = new (std::nothrow) SharedLock;
    if (lock == nullptr) {
      munmap(page, SharedPage::kSize);
      return Error::Errno("", "shared lock", ENOMEM);
    }
    lock->next_ = first_.load();
    first_ = lock;
  }
  lock->data_ = data.release();
  lock->device_ = found.st_dev;
  lock->inode_ = found.st_ino;
  lock->users_ = 1;
  lock->page_ = static_cast<SharedPage*>(page);
  return lock;
}

void SharedLocks::Close(SharedLock* lock, const ThreadIdentity& self) {
  SharedPage* page = nullptr;
  {
    const ShortLock::Guard guard(&lock_);
    if (--lock->users_ > 0) return;
    lock->Abandon(self);
    page = std::exchange(lock->page_, nullptr);
    lock->Forget();
    close(std::exchange(lock->data_, -1));
  }
  munmap(page, SharedPage::kSize);
}

bool SharedLocks::IsPage(const void* memory) {
  const ShortLock::Guard guard(&lock_);
  for (const SharedLock* each = first_.load(); each != nullptr; each = each->next_.load()) {
    if (each->page_ == memory) return true;
  }
  return false;
}

void SharedLocks::AbandonAll(const ThreadIdentity& self) {
  for (SharedLock* each = first_.load(); each != nullptr; each = each->next_.load()) {
    {
      const ShortLock::Guard guard(&lock_);
      if (each->page_ == nullptr) continue;
      ++each->users_;  // for now: its last user may be closing it
    }
    each->Abandon(self);
    Close(each, self);
  }
}

void SharedLocks::PrepareForFork(const ThreadIdentity& self) {
  if (forker_.load() == self.token) {
    ++forks_;
    return;
  }
  lock_.Lock();
  forker_ = self.token;
  forks_ = 1;
  for (SharedLock* each = first_.load(); each != nullptr; each = each->next_.load()) each->roll_lock_.Lock();
}

void SharedLocks::AfterForkParent() {
  if (--forks_ > 0) return;
  for (SharedLock* each = first_.load(); each != nullptr; each = each->next_.load()) each->roll_lock_.Unlock();
  forker_ = 0;
  lock_.Unlock();
}

ATFORK_IN_EVERY_CHILD void SharedLocks::EnterChild() {
  lock_.Reset();
  forker_ = 0;
  for (SharedLock* each = first_.load(); each != nullptr; each = each->next_.load()) each->EnterChild();
  if (tracker_.load() >= 0) CloseTracker();
}

Result<int> SharedLocks::OpenTracker() {
  const ShortLock::Guard guard(&lock_);
  if (tracker_.load() >= 0) return -1;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Error::Errno("pipe2", "tracker");
  tracker_ = ends[1];
  return ends[0];
}

void SharedLocks::CloseTracker() {
  const int saved = errno;
  const int tracker = tracker_.exchange(-1);
  if (tracker >= 0) close(tracker);
  errno = saved;
}

void SharedLocks::TellTracker(const std::string& name, uint64_t inode) {
  static_cast<void>(TellOfName(tracker_.load(), '+', inode, SharedPath(name)));
}

}  // namespace atfork

// thread_directory.cc - the threads that have to do with locks; see thread_directory.h.
// Runs in:  any thread; Reset and LeaveOthersBehind in the child handler. Calls: nothing. Allocates: no.
#include "posix/thread_directory.h"

#include "posix/every_child.h"

namespace atfork {
namespace {

void CopyLabel(char* to, const char* from) {
  int length = 0;
  while (length < ThreadDescription::kLabelSize - 1 && from[length] != '\0') ++length;
  // Not in the middle of a character.
  if (from[length] != '\0') {
    while (length > 0 && (from[length] & 0xc0) == 0x80) --length;
  }
  for (int i = 0; i < length; ++i) to[i] = from[i];
  to[length] = '\0';
}

}  // namespace

void ThreadDirectory::Add(ThreadEntry* entry) {
  const ShortLock::Guard guard(&lock_);
  entry->next = first_.load(std::memory_order_relaxed);
  first_.store(entry, std::memory_order_release);
}

void ThreadDirectory::Remove(ThreadEntry* entry) {
  const ShortLock::Guard guard(&lock_);
  ThreadEntry* at = first_.load(std::memory_order_relaxed);
  if (at == entry) {
    first_.store(entry->next, std::memory_order_release);
    return;
  }
  while (at != nullptr && at->next != entry) at = at->next;
  if (at != nullptr) at->next = entry->next;
}

void ThreadDirectory::Name(ThreadEntry* entry, int32_t thread_id, const char* label) {
  const ShortLock::Guard guard(&lock_);
  entry->thread_id = thread_id;
  CopyLabel(entry->label, label);
}

bool ThreadDirectory::Describe(uint32_t token, ThreadDescription* description) {
  const ShortLock::Guard guard(&lock_);
  const ThreadEntry* const entry = Find(token);
  if (entry == nullptr) return false;
  description->pid = entry->identity.pid;
  description->tid = entry->identity.tid;
  description->thread_id = entry->thread_id;
  for (int i = 0; i < ThreadDescription::kLabelSize; ++i) description->label[i] = entry->label[i];
  return true;
}

const Lock* ThreadDirectory::AwaitedBy(uint32_t token, bool* forks) {
  const ShortLock::Guard guard(&lock_);
  const ThreadEntry* const entry = Find(token);
  if (entry == nullptr) return nullptr;
  if (forks != nullptr) *forks = entry->forks.load();
  return entry->waits_for.load();
}

ATFORK_IN_EVERY_CHILD void ThreadDirectory::LeaveOthersBehind(ThreadEntry* self) {
  self->next = nullptr;
  first_.store(self, std::memory_order_relaxed);
}

ThreadEntry* ThreadDirectory::Find(uint32_t token) const {
  ThreadEntry* at = first_.load(std::memory_order_acquire);
  while (at != nullptr && at->identity.token != (token & ~kLoopOwner)) at = at->next;
  return at;
}

}  // namespace atfork

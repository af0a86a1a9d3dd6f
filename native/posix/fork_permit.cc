// fork_permit.cc - whether fork() may fork; see fork_permit.h.
// Runs in:  any thread; Check on the forking thread of the parent, EnterChild in the child handler.
// Calls:    strdup(3) in MarkNotForkSafe; Check allocates the text of its error, which is safe beside parked threads.
#include "posix/fork_permit.h"

#include <cstdlib>
#include <cstring>

#include "posix/every_child.h"

namespace atfork {

bool ForkPermit::Enter(ThreadIdentity* self) {
  if (IsForeign(*self)) return false;
  ++self->fork_sections;
  sections_.fetch_add(1);
  return true;
}

void ForkPermit::Leave(ThreadIdentity* self) {
  if (self->fork_sections == 0) return;
  --self->fork_sections;
  sections_.fetch_sub(1);
}

void ForkPermit::Abandon(ThreadIdentity* self) {
  sections_.fetch_sub(self->fork_sections);
  self->fork_sections = 0;
}

void ForkPermit::MarkNotForkSafe(const ThreadIdentity& self, const char* reason) {
  if (IsForeign(self) || not_fork_safe_.load() != nullptr) return;
  char* const copy = strdup(reason);
  const char* nobody = nullptr;
  // Without memory for the reason it is not fork-safe all the same.
  if (!not_fork_safe_.compare_exchange_strong(nobody, copy == nullptr ? "" : copy)) free(copy);
}

Status ForkPermit::Check(const ThreadIdentity& self) const {
  if (const char* const reason = not_fork_safe_.load(); reason != nullptr) {
    return Error::Refused("ERR_ATFORK_NOT_FORK_SAFE", "permit", reason);
  }
  if (sections_.load() == 0) return Unit{};
  return Error::Refused("ERR_ATFORK_PREVENTED", "permit",
                        self.fork_sections > 0 ? "on this very thread" : "on another thread");
}

ATFORK_IN_EVERY_CHILD void ForkPermit::EnterChild(const ThreadIdentity& self) {
  generation_.store(self.generation);
  sections_.store(self.fork_sections);
}

bool ForkPermit::IsForeign(const ThreadIdentity& self) const { return self.generation != generation_.load(); }

}  // namespace atfork

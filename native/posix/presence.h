// presence.h - which threads of which processes are there still: a roll that the kernel keeps.
//
// The file behind a lock has a byte for every tid, far behind its end. The process of a thread that uses the lock has
// that byte locked (an open-file-description lock, fcntl(2)), by a description that it shares with nobody. However it
// ends, or replaces its program, the kernel closes the description and takes the lock away. So an owner that is gone is
// known without a doubt, and a tid that is used again deceives nobody: its new thread has to have the byte first, and
// then finds what the old one has left. Signals to a pid, and what proc(5) says of it, could not tell the two apart.
//
// Byte 0 belongs to all processes that use the object, each of which has it locked for reading: who can lock it for
// writing is alone, and may take the name away (UnlinkUnused in shared_object.h).
//
// A description goes along with fork(2), so the child closes it in its at-fork handler. One that runs no handlers
// (_Fork(3), clone(2)) and no other program keeps it, and its parent's end is not noticed before its own.
#ifndef ATFORK_POSIX_PRESENCE_H_
#define ATFORK_POSIX_PRESENCE_H_

#include <sys/types.h>

#include <cstdint>

#include "posix/result.h"

namespace atfork {

// Not thread-safe: SharedLock sees to that.
class Presence {
 public:
  constexpr Presence() = default;
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;

  // Opens what `data` is a descriptor of once more, and locks byte 0, if that has not been done. EBUSY: somebody is
  // alone with the object, for an instant, to take its name away.
  Status Open(int data);
  // Child handler: what was opened was the parent's. Somebody has byte 0 locked all the time.
  void Reopen(int data);
  void Close();

  enum class Claim { kMine, kAnothers, kFailed };
  // kAnothers: the process of another thread of that tid has it. kFailed: errno says why.
  [[nodiscard]] Claim Take(pid_t tid);
  void Give(pid_t tid);
  // Locks byte 0 for writing, by `data` itself. False: somebody uses the object.
  static bool TakeAlone(int data);
  // Locks the byte of the object's name by `data` itself, and waits for it: whoever takes the name away has it, for an
  // instant. False: errno says why.
  static bool TakeName(int data);
  // Whether anybody has it; `data` as above.
  static bool IsTaken(int data, pid_t tid);

  // Writes a byte, so that those who watch the file (inotify(7)) hear of it. A description of memfd_create(2) itself
  // is not watched since Linux 6.14.
  void Ring(off_t offset);

 private:
  int fd_ = -1;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_PRESENCE_H_

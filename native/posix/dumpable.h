// dumpable.h - keeps this process one that may be looked into while children that share its memory change their ids.
//
// A change of ids marks the memory of whoever changes them as one that nobody may look into (commit_creds in the
// kernel's cred.c), and after clone(2) with CLONE_VM that is the parent's as well: no core dumps, no debugger, and
// /proc/self is root's from then on. Several threads may be at it; the last one puts it right, unless this process has
// changed its own ids meanwhile, and is marked for that. What it says of itself by prctl(2) in that moment is lost.
//
// Runs in:  any thread, with all signals blocked: no fork() of this library falls in between (runtime/park_position).
// Calls:    prctl(2), getresuid(2), getresgid(2), raw; open(2), read(2). Allocates: no. man: PR_SET_DUMPABLE(2const).
#ifndef ATFORK_POSIX_DUMPABLE_H_
#define ATFORK_POSIX_DUMPABLE_H_

namespace atfork {

// Whether the kernel leaves a process that has changed its ids closed to its new user: /proc/sys/fs/suid_dumpable.
// Where it does not, or it cannot be known, nobody who shares memory with another may change them.
bool IsClosedByChangeOfIds();

class DumpableKept {
 public:
  explicit DumpableKept(bool at_risk);
  ~DumpableKept();
  DumpableKept(const DumpableKept&) = delete;
  DumpableKept& operator=(const DumpableKept&) = delete;

 private:
  const bool at_risk_;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_DUMPABLE_H_

// confine.h - lets an ended Worker's thread do nothing that anybody outside the process could see.
//
// CHILD ZONE. A JavaScript Worker of the parent is brought back in the child only to give up what it holds and to end.
// It may have been parked one instruction before a write(2): what a Worker does must not happen twice. So its thread
// gets a seccomp(2) filter of its own before it runs: what a thread needs in order to end is allowed, everything else
// answers ECANCELED, but for what libuv would abort on: reading answers EPIPE, and there is no child to
// wait for. The filter is per thread and dies with it; the rest of the process does not have it.
#ifndef ATFORK_CHILD_CONFINE_H_
#define ATFORK_CHILD_CONFINE_H_

namespace atfork::child {

// Whether this kernel can filter system calls. Parent, at load.
bool CanConfine();

// Descriptors `first` to `last`.
struct FdRange {
  int first;
  int last;
};

// The most ranges that one filter holds: the kernel takes 4096 instructions.
constexpr int kMaxConfinedRanges = 1300;

// Sets which descriptors confined threads may read from and write to: what belongs to this process alone, such as the
// wake-ups of its event loops. In the child, on the forking thread, before the first Confine. False: too many.
bool SetConfinedFds(const FdRange* ranges, int count);

// Confines the calling thread until it ends. Sets no_new_privs on it (per thread, needed without CAP_SYS_ADMIN).
// 0, or an errno.
int Confine();

// Whether the calling thread is. Asks the kernel: a thread that a confined one has started is confined too.
bool IsConfined();

}  // namespace atfork::child

#endif  // ATFORK_CHILD_CONFINE_H_

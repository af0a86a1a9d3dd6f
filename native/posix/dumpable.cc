// dumpable.cc - see dumpable.h.
#include "posix/dumpable.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstring>

#include "posix/fd.h"
#include "posix/short_lock.h"

namespace atfork {
namespace {

constexpr int kByEverybody = 1;

struct Ids {
  uid_t uids[3];
  gid_t gids[3];

  static Ids Now() {
    Ids ids;
    syscall(SYS_getresuid, &ids.uids[0], &ids.uids[1], &ids.uids[2]);
    syscall(SYS_getresgid, &ids.gids[0], &ids.gids[1], &ids.gids[2]);
    return ids;
  }
  bool operator==(const Ids& other) const { return memcmp(this, &other, sizeof other) == 0; }
};

ShortLock lock;
int users = 0;
// When the first of them came.
long before = 0;
Ids ids_before;

}  // namespace

bool IsClosedByChangeOfIds() {
  const UniqueFd setting(open("/proc/sys/fs/suid_dumpable", O_RDONLY | O_CLOEXEC));
  char value = 0;
  return setting && read(setting.get(), &value, 1) == 1 && value != '1';
}

DumpableKept::DumpableKept(bool at_risk) : at_risk_(at_risk) {
  if (!at_risk_) return;
  const ShortLock::Guard guard(&lock);
  if (users++ > 0) return;
  before = syscall(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
  ids_before = Ids::Now();
}

DumpableKept::~DumpableKept() {
  if (!at_risk_) return;
  const ShortLock::Guard guard(&lock);
  if (--users > 0 || before != kByEverybody || !(Ids::Now() == ids_before)) return;
  syscall(SYS_prctl, PR_SET_DUMPABLE, kByEverybody, 0, 0, 0);
}

}  // namespace atfork

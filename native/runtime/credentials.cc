// credentials.cc - see credentials.h.
// Runs in:  the thread that changes ids through the runtime (Node: the main thread); Adopt in the signal handler of
// each
//           thread that was brought back: raw system calls only.
// Calls:    getresuid(2), getresgid(2), getgroups(2); setresuid(2), setresgid(2), setgroups(2), per thread.
// Rests on: a thread that was brought back has the ids that the caller had before, so what the kernel let the caller do
//           it lets that thread do. Should one fail all the same, the process ends, as libc itself does it
//           (nptl_setxid.c): going on with a privileged thread is worse.
#include "runtime/credentials.h"

#include <grp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <iterator>
#include <vector>

#include "runtime/import_table.h"
#include "runtime/runtime_threads.h"

namespace atfork::runtime {
namespace {

struct Ids {
  uid_t users[3];
  gid_t groups[3];
  bool with_supplementary;
  std::vector<gid_t> supplementary;
};

void Adopt(void* argument) {
  const auto* ids = static_cast<const Ids*>(argument);
  long failed = 0;
  if (ids->with_supplementary) failed |= syscall(SYS_setgroups, ids->supplementary.size(), ids->supplementary.data());
  failed |= syscall(SYS_setresgid, ids->groups[0], ids->groups[1], ids->groups[2]);
  failed |= syscall(SYS_setresuid, ids->users[0], ids->users[1], ids->users[2]);
  if (failed != 0) abort();
}

// Has the others adopt what the calling thread has now.
void Spread(bool with_supplementary) {
  if (!HasRestartedThreads()) return;
  Ids ids = {};
  if (getresuid(&ids.users[0], &ids.users[1], &ids.users[2]) != 0) abort();
  if (getresgid(&ids.groups[0], &ids.groups[1], &ids.groups[2]) != 0) abort();
  ids.with_supplementary = with_supplementary;
  if (with_supplementary) {
    const int count = getgroups(0, nullptr);
    if (count < 0) abort();
    ids.supplementary.resize(static_cast<size_t>(count));
    if (getgroups(count, ids.supplementary.data()) != count) abort();
  }
  if (!RunOnRestartedThreads(Adopt, &ids)) abort();
}

int (*original_setuid)(uid_t) = setuid;
int (*original_seteuid)(uid_t) = seteuid;
int (*original_setgid)(gid_t) = setgid;
int (*original_setegid)(gid_t) = setegid;
int (*original_setgroups)(size_t, const gid_t*) = setgroups;
int (*original_initgroups)(const char*, gid_t) = initgroups;

int Then(int result, bool with_supplementary) {
  if (result == 0) Spread(with_supplementary);
  return result;
}

int WatchedSetuid(uid_t id) { return Then(original_setuid(id), false); }
int WatchedSeteuid(uid_t id) { return Then(original_seteuid(id), false); }
int WatchedSetgid(gid_t id) { return Then(original_setgid(id), false); }
int WatchedSetegid(gid_t id) { return Then(original_setegid(id), false); }
int WatchedSetgroups(size_t count, const gid_t* ids) { return Then(original_setgroups(count, ids), true); }
int WatchedInitgroups(const char* user, gid_t group) { return Then(original_initgroups(user, group), true); }

}  // namespace

Status WatchCredentials() {
  const ImportReplacement replacements[] = {
      {"setuid", reinterpret_cast<void*>(WatchedSetuid), reinterpret_cast<void**>(&original_setuid)},
      {"seteuid", reinterpret_cast<void*>(WatchedSeteuid), reinterpret_cast<void**>(&original_seteuid)},
      {"setgid", reinterpret_cast<void*>(WatchedSetgid), reinterpret_cast<void**>(&original_setgid)},
      {"setegid", reinterpret_cast<void*>(WatchedSetegid), reinterpret_cast<void**>(&original_setegid)},
      {"setgroups", reinterpret_cast<void*>(WatchedSetgroups), reinterpret_cast<void**>(&original_setgroups)},
      {"initgroups", reinterpret_cast<void*>(WatchedInitgroups), reinterpret_cast<void**>(&original_initgroups)},
  };
  return ReplaceImports(replacements, std::size(replacements));
}

}  // namespace atfork::runtime

// process_state.h - everything that exists once per process, whatever number of Workers and of copies of this package
// there are in it.
//
// Addons are loaded RTLD_LOCAL, so two copies of the package (two versions in node_modules, say) know nothing of each
// other, and two global locks would be none. The copy that was loaded first therefore owns the state and exports it as
// `atfork_process_state_v1`; a later copy finds that and uses it, if both agree on its layout, else refuses to load.
// The header is what the v1 stands for: it stays as it is for ever, while `kVersion` counts the layouts behind it.
//
// Runs in:  set up at load, under the loader's lock, once per copy; used by any thread, either side of a fork.
#ifndef ATFORK_POSIX_PROCESS_STATE_H_
#define ATFORK_POSIX_PROCESS_STATE_H_

#include <atomic>
#include <cstdint>

#include "posix/at_fork_list.h"
#include "posix/bypassed_fork.h"
#include "posix/fork_permit.h"
#include "posix/lock_registry.h"
#include "posix/lock_room.h"
#include "posix/process_lock.h"
#include "posix/result.h"
#include "posix/shared_locks.h"
#include "posix/shared_memory.h"
#include "posix/thread_directory.h"
#include "posix/thread_identity.h"

namespace atfork {

// What a copy looks at first in the state of another one, whatever its version.
struct ProcessStateHeader {
  static constexpr uint64_t kMagic = 0x6b726f66'74617631;  // the bytes "1vatfork"
  // To be raised with every change of ProcessState, of what is in it, or of the locks' protocol.
  static constexpr uint32_t kVersion = 4;

  uint64_t magic;
  uint32_t version;
  uint32_t size;
};

// Every fork writes to its first page, and copies that.
struct alignas(kPage) ProcessState {
  // Constant-initialised, so that there is no moment at which another copy could find half of it.
  explicit constexpr ProcessState(ThreadIdentity* (*identities)()) : this_thread(identities) {}
  ProcessState(const ProcessState&) = delete;
  ProcessState& operator=(const ProcessState&) = delete;

  const ProcessStateHeader header = {ProcessStateHeader::kMagic, ProcessStateHeader::kVersion, sizeof(ProcessState)};

  // The copy that owns this has its handlers in place; false for ever when it could not register them.
  std::atomic<bool> ready{false};
  // How many forks lie between the process that loaded this library and this one.
  std::atomic<uint32_t> generation{0};
  std::atomic<uint32_t> last_token{0};
  // On all threads: ThreadIdentity::forks_under_way.
  std::atomic<uint32_t> forks_under_way{0};
  // The calling thread's identity, which lies in the thread-local storage of the copy that owns this state.
  ThreadIdentity* (*const this_thread)();

  ThreadDirectory threads;
  ThreadDescription global_lock_left_by;
  alignas(64) ProcessLock global_lock{0, ParticipantKind::kGlobalLock, "global lock", 0, &global_lock_left_by};
  LockRegistry locks{&global_lock};
  SharedLocks shared_locks;
  SharedMemory shared_memory;
  ForkPermit fork_permit;
  // Null: not to be had. Written once, when the copy that owns this is loaded.
  ForkMark* fork_mark = nullptr;
  // For runtime/: its own process-wide state. Null until it is set, and then never changed.
  std::atomic<void*> runtime{nullptr};
  // The rest of the page, for named locks.
  LockRoom<52 * sizeof(ProcessLock)> room;

  alignas(kPage) AtForkList at_fork;
};

static_assert(sizeof(ProcessState) == 2 * kPage);

// Whether this copy can be used in this process: ERR_ATFORK_DUPLICATE when another copy with another layout came first,
// or the errno of what failed at load.
Status ProcessStateStatus();

// This process's state; null when ProcessStateStatus() is an error, and then the addon does not load.
ProcessState* GetProcessState();

// Set on a thread's first call of ThisThread() in this copy. initial-exec: one instruction to read, and no allocation
// on first use, which may be in a prepare handler on a thread that has never heard of us.
extern __thread ThreadIdentity* this_thread_cache __attribute__((tls_model("initial-exec")));

inline ThreadIdentity& ThisThread() {
  if (__builtin_expect(this_thread_cache == nullptr, 0)) this_thread_cache = GetProcessState()->this_thread();
  return *this_thread_cache;
}

// The calling thread ends, or its environment does: the locks that it holds are orphaned, and it prevents no fork
// any more.
void AbandonAll();

// Moves the state and the calling thread on to the child: the first thing after a fork there, on its only thread.
void EnterChild();

}  // namespace atfork

#endif  // ATFORK_POSIX_PROCESS_STATE_H_

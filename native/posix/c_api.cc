// c_api.cc - native/include/atfork.h, as other addons in this process see it.
// Runs in:  any thread. Calls: what it is an interface to; dladdr(3) and dlopen(3), for libraries to stay. Keeps errno.
// Returns:  a positive errno.
#include <dlfcn.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

#include "include/atfork.h"
#include "posix/at_fork_hook.h"
#include "posix/bypassed_fork.h"
#include "posix/fork_mutex.h"
#include "posix/named_lock.h"
#include "posix/process_state.h"

namespace atfork {
namespace {

constexpr size_t kLongestName = 255;

class KeepErrno {
 public:
  ~KeepErrno() { errno = saved_; }

 private:
  const int saved_ = errno;
};

ProcessLock* Of(atfork_lock* lock) { return reinterpret_cast<ProcessLock*>(lock); }
atfork_lock* Of(ProcessLock* lock) { return reinterpret_cast<atfork_lock*>(lock); }

int ToErrno(AcquireStatus status, bool waited) {
  switch (status) {
    case AcquireStatus::kAcquired:
      return 0;
    case AcquireStatus::kOwnerDied:
      return EOWNERDEAD;
    case AcquireStatus::kTimedOut:
      return waited ? ETIMEDOUT : EBUSY;
    case AcquireStatus::kNotRecoverable:
      return ENOTRECOVERABLE;
    case AcquireStatus::kCancelled:
      return ECANCELED;
    case AcquireStatus::kTooDeep:
      return EAGAIN;
    case AcquireStatus::kDeadlock:
      return EDEADLK;
    case AcquireStatus::kBypassed:
      return ESTALE;
  }
  return EINVAL;
}

bool IsName(const char* name) {
  const size_t length = strnlen(name, kLongestName + 1);
  return length > 0 && length <= kLongestName;
}

// The library that `address` lies in is not unloaded any more: Node unloads an addon with the Worker that loaded it.
void KeepLoaded(const void* address) {
  Dl_info info;
  if (address == nullptr || dladdr(address, &info) == 0) return;
  // The reference stays. A program itself has no name that dlopen knows, and needs none.
  dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

extern "C" {

atfork_lock* GlobalLock() { return Of(&GetProcessState()->global_lock); }

int NamedLock(const char* name, int rank, atfork_lock** lock) {
  const KeepErrno keep;
  if (!IsName(name)) return EINVAL;
  const auto opened = OpenNamedLock(name, rank);
  if (!opened.ok()) return opened.error().errnum;
  *lock = Of(opened.value());
  return 0;
}

int LockForEver(atfork_lock* lock) { return ToErrno(Of(lock)->Acquire(ThisThread(), kNoDeadline), true); }

int TimedLock(atfork_lock* lock, int64_t timeout_ns) {
  if (timeout_ns == 0) return ToErrno(Of(lock)->TryAcquire(ThisThread()), false);
  const int64_t now = MonotonicNanos();
  const bool has_end = timeout_ns > 0 && timeout_ns < kNoDeadline - now;
  return ToErrno(Of(lock)->Acquire(ThisThread(), has_end ? now + timeout_ns : kNoDeadline), true);
}

int Unlock(atfork_lock* lock) { return Of(lock)->Release(ThisThread()) ? 0 : EPERM; }

int MakeConsistent(atfork_lock* lock) { return Of(lock)->MakeConsistent(ThisThread()) ? 0 : EPERM; }

int Owns(atfork_lock* lock) { return Of(lock)->HeldBy(ThisThread()) ? 1 : 0; }

int AddHandlers(const atfork_handlers* handlers, uint32_t* id) {
  const KeepErrno keep;
  auto* const own = new (std::nothrow)
      AtForkHandler{handlers->rank, handlers->prepare, handlers->parent, handlers->child, handlers->arg};
  if (own == nullptr) return ENOMEM;
  const uint32_t index = GetProcessState()->at_fork.Add(own);
  if (index == AtForkList::kCapacity) {
    delete own;
    return ENOSPC;
  }
  for (void (*const each)(void*) : {handlers->prepare, handlers->parent, handlers->child}) {
    KeepLoaded(reinterpret_cast<const void*>(each));
  }
  *id = index;
  return 0;
}

int RemoveHandlers(uint32_t id) {
  if (!GetProcessState()->at_fork.Remove(id)) return EINVAL;
  AwaitForks();
  return 0;
}

ForkMutex* FindMutex(const pthread_mutex_t* mutex) {
  for (ForkParticipant* each = GetProcessState()->locks.first(); each != nullptr; each = each->next.load()) {
    if (each->kind != ParticipantKind::kMutex) continue;
    auto* const found = static_cast<ForkMutex*>(each);
    if (found->Is(mutex)) return found;
  }
  return nullptr;
}

int AddMutex(pthread_mutex_t* mutex, const char* name, int rank, void (*orphaned)(void* arg), void* arg) {
  const KeepErrno keep;
  if (!IsName(name) || !ForkMutex::IsSupported(*mutex)) return EINVAL;
  if (FindMutex(mutex) != nullptr) return EEXIST;
  std::unique_ptr<char, decltype(&free)> own_name(strdup(name), free);
  if (own_name == nullptr) return ENOMEM;
  auto* const made = new (std::nothrow) ForkMutex(mutex, own_name.get(), rank, orphaned, arg);
  if (made == nullptr) return ENOMEM;
  if (GetProcessState()->locks.Add(made, ThisThread()) == nullptr) {
    delete made;
    return ECANCELED;
  }
  static_cast<void>(own_name.release());
  KeepLoaded(reinterpret_cast<const void*>(orphaned));
  KeepLoaded(mutex);
  // A fork that was under way knows nothing of it; the next one does.
  AwaitForks();
  return 0;
}

int RemoveMutex(pthread_mutex_t* mutex) {
  ForkMutex* const found = FindMutex(mutex);
  if (found == nullptr || !found->Remove(mutex)) return EINVAL;
  AwaitForks();
  return 0;
}

int PreventFork() { return GetProcessState()->fork_permit.Enter(&ThisThread()) ? 0 : ECANCELED; }

void AllowFork() { GetProcessState()->fork_permit.Leave(&ThisThread()); }

int Bypassed() { return IsBypassedFork() ? 1 : 0; }

}  // extern "C"

constexpr atfork_api kApi = {
    sizeof(atfork_api),
    ATFORK_API_VERSION,
    GlobalLock,
    NamedLock,
    LockForEver,
    TimedLock,
    Unlock,
    MakeConsistent,
    Owns,
    AddHandlers,
    RemoveHandlers,
    AddMutex,
    RemoveMutex,
    PreventFork,
    AllowFork,
    Bypassed,
};

}  // namespace
}  // namespace atfork

extern "C" __attribute__((visibility("default"))) const atfork_api* atfork_get_api_v1() {
  return atfork::ProcessStateStatus().ok() ? &atfork::kApi : nullptr;
}

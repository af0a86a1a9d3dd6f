// process_state.cc - everything that exists once per process; see process_state.h.
// Runs in:  SetUp in the loader, when this copy is loaded: under the loader's lock, so two copies cannot both be first.
//           The identities on any thread, also in a prepare handler; EnterChild in the child handler.
// Calls:    dl_iterate_phdr(3), dlopen(3) with RTLD_NOLOAD, dlsym(3); pthread_key_create(3); getpid(2), gettid(2).
//           Allocates in SetUp, and what pthread_setspecific(3) may, once per thread.
// Rests on: the addon being linked -z nodelete. A Worker that loaded it alone may end, its state and handlers must not.
#include "posix/process_state.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <vector>

#include "posix/at_fork_hook.h"
#include "posix/every_child.h"

extern "C" __attribute__((visibility("protected"))) atfork::ProcessState atfork_process_state_v1;

namespace atfork {

__thread ThreadIdentity* this_thread_cache __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

static_assert(offsetof(ProcessStateHeader, magic) == 0 && offsetof(ProcessStateHeader, version) == 8 &&
                  offsetof(ProcessStateHeader, size) == 12,
              "the header never changes");

constexpr char kSymbol[] = "atfork_process_state_v1";

// The state in use: this copy's own, or that of the copy loaded first. Written once, in SetUp.
ProcessState* state = nullptr;
// Why `state` is null: a code of ours, or an errno and its call.
const char* refusal = nullptr;
int failed_errno = 0;
const char* failed_call = "";

// In the copy that owns the state: the key whose destructor tells that a thread ends, and each thread's identity.
pthread_key_t thread_exit_key;
__thread ThreadEntry own_entry __attribute__((tls_model("initial-exec")));

uint32_t NextToken() {
  uint32_t token = state->last_token.load(std::memory_order_relaxed);
  do {
    if (token + 2 >= kNoToken) return kNoToken;
  } while (!state->last_token.compare_exchange_weak(token, token + 2, std::memory_order_relaxed));
  return token + 2;
}

ThreadIdentity* OwnThread() {
  ThreadIdentity& self = own_entry.identity;
  if (self.token != 0) return &self;
  const int saved = errno;
  self.token = NextToken();
  // A thread without a token of its own is of no process's generation, so it gets no lock.
  self.generation = self.token == kNoToken ? kNoGeneration : state->generation.load(std::memory_order_relaxed);
  self.pid = getpid();
  self.tid = static_cast<pid_t>(syscall(SYS_gettid));
  self.entry = &own_entry;
  state->threads.Add(&own_entry);
  pthread_setspecific(thread_exit_key, &self);
  errno = saved;
  return &self;
}

void Abandon(ThreadIdentity* thread) {
  state->locks.AbandonAll(*thread);
  state->shared_locks.AbandonAll(*thread);
  state->fork_permit.Abandon(thread);
}

// Not run by exit(3): there the whole process ends.
void OnThreadExit(void* identity) {
  ThreadIdentity* const self = static_cast<ThreadIdentity*>(identity);
  Abandon(self);
  // Another process's is in no list here.
  if (self->generation == state->generation.load(std::memory_order_relaxed)) state->threads.Remove(self->entry);
}

int CollectName(dl_phdr_info* info, size_t, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(info->dlpi_name);
  return 0;
}

// The state of the first copy in order of loading, which may be this one. The names are collected first, because
// dl_iterate_phdr holds a lock that dlopen takes after another one.
ProcessState* FindState() {
  std::vector<std::string> names;
  dl_iterate_phdr(CollectName, &names);
  for (const std::string& name : names) {
    void* const object = dlopen(name.empty() ? nullptr : name.c_str(), RTLD_LAZY | RTLD_NOLOAD);
    if (object == nullptr) continue;
    void* const found = dlsym(object, kSymbol);
    dlclose(object);
    if (found != nullptr) return static_cast<ProcessState*>(found);
  }
  return &atfork_process_state_v1;  // linked into an executable that does not export it
}

bool IsCompatible(const ProcessState& other) {
  const ProcessStateHeader& own = atfork_process_state_v1.header;
  return other.header.magic == own.magic && other.header.version == own.version && other.header.size == own.size &&
         other.ready.load(std::memory_order_acquire);
}

// Makes this copy the owner of the process's state.
bool Own() {
  state = &atfork_process_state_v1;
  failed_call = "pthread_key_create";
  failed_errno = pthread_key_create(&thread_exit_key, OnThreadExit);
  if (failed_errno != 0) return false;
  failed_call = "pthread_atfork";
  failed_errno = InstallAtForkHook();
  if (failed_errno != 0) return false;
  state->fork_mark = MakeForkMark();
  state->ready.store(true, std::memory_order_release);
  return true;
}

// Before the constructors of this copy's C++ objects, which then find the state in place.
__attribute__((constructor(101))) void SetUp() {
  ProcessState* const found = FindState();
  if (found == &atfork_process_state_v1) {
    if (!Own()) state = nullptr;
  } else if (IsCompatible(*found)) {
    state = found;
  } else {
    refusal = "ERR_ATFORK_DUPLICATE";
  }
}

}  // namespace

Status ProcessStateStatus() {
  if (state != nullptr) return Unit{};
  if (refusal != nullptr)
    return Error::Refused(refusal, "load", "it is incompatible, was loaded first, and owns the lock");
  return Error::Errno(failed_call, "load", failed_errno);
}

ATFORK_IN_EVERY_CHILD ProcessState* GetProcessState() { return state; }

void AbandonAll() { Abandon(&ThisThread()); }

ATFORK_IN_EVERY_CHILD void EnterChild() {
  ThreadIdentity& self = ThisThread();
  const uint32_t generation = state->generation.load(std::memory_order_relaxed) + 1;
  state->generation.store(generation, std::memory_order_relaxed);
  if (self.token != kNoToken) self.generation = generation;
  self.pid = getpid();
  self.tid = static_cast<pid_t>(syscall(SYS_gettid));
  if (state->fork_mark != nullptr) state->fork_mark->store(1, std::memory_order_relaxed);
  state->threads.Reset();
  state->threads.LeaveOthersBehind(self.entry);
  state->fork_permit.EnterChild(self);
  state->shared_locks.EnterChild();
  state->shared_memory.EnterChild();
}

}  // namespace atfork

atfork::ProcessState atfork_process_state_v1{atfork::OwnThread};

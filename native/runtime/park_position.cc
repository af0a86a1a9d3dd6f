// park_position.cc - see park_position.h.
// Runs in:  JudgePosition in the signal handler of the judged thread: async-signal-safe, no allocation, no locks.
// Rests on: how the kernel leaves an interrupted system call (arch_do_signal_or_restart): with SA_RESTART the program
//           counter is put back on the system call instruction and the number stands where the call takes it; a call
//           that is never restarted has returned -EINTR; futex(2), epoll_wait(2).
#include "runtime/park_position.h"

#include <errno.h>
#include <link.h>
#include <linux/futex.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstring>

#include "posix/process_state.h"
#include "posix/thread_census.h"

namespace atfork::runtime {
namespace {

// glibc keeps each secondary malloc arena at the start of a heap aligned to this (malloc/arena.c, HEAP_MAX_SIZE).
constexpr uintptr_t kArenaAlignment = 64 * 1024 * 1024;
constexpr uintptr_t kArenaHeader = 4096;

#if defined(__x86_64__)
SystemCall InterruptedCallAt(const ucontext_t& context) {
  const greg_t* registers = context.uc_mcontext.gregs;
  const auto* code = reinterpret_cast<const unsigned char*>(registers[REG_RIP]);
  SystemCall call = {false, false, -1, {}};
  call.arguments[0] = static_cast<uintptr_t>(registers[REG_RDI]);
  call.arguments[1] = static_cast<uintptr_t>(registers[REG_RSI]);
  call.arguments[2] = static_cast<uintptr_t>(registers[REG_RDX]);
  call.arguments[3] = static_cast<uintptr_t>(registers[REG_R10]);
  if (code[0] == 0x0f && code[1] == 0x05) {
    call.present = call.restarts = true;
    call.number = registers[REG_RAX];
  } else if (code[-2] == 0x0f && code[-1] == 0x05 && registers[REG_RAX] == -EINTR) {
    call.present = true;
  }
  return call;
}
uintptr_t ProgramCounter(const ucontext_t& context) {
  return static_cast<uintptr_t>(context.uc_mcontext.gregs[REG_RIP]);
}
#elif defined(__aarch64__)
SystemCall InterruptedCallAt(const ucontext_t& context) {
  const mcontext_t& machine = context.uc_mcontext;
  constexpr uint32_t kSvc = 0xd4000001;
  const auto* code = reinterpret_cast<const uint32_t*>(machine.pc);
  SystemCall call = {false, false, static_cast<long>(machine.regs[8]), {}};
  for (int i = 0; i < 4; ++i) call.arguments[i] = machine.regs[i];
  if (code[0] == kSvc) {
    call.present = call.restarts = true;
  } else if (code[-1] == kSvc && static_cast<long>(machine.regs[0]) == -EINTR) {
    call.present = true;
  }
  return call;
}
uintptr_t ProgramCounter(const ucontext_t& context) { return context.uc_mcontext.pc; }
#endif

// libuv holds the lock of its tree of signal handlers only with all signals blocked (uv__signal_handler,
// uv__signal_block_and_lock), and its handler of pthread_atfork(3) gives the child a lock that is free, whoever had it.
// sigfillset(3) leaves out the signals of libc's own, ours among them. Some threads have all blocked all their lives
// (that of the inspector's start); they wait, and are hardly met here.
bool BlocksAllSignals(const ucontext_t& context) {
  uint64_t blocked;
  std::memcpy(&blocked, &context.uc_sigmask, sizeof blocked);  // what the kernel has stored there: 64 signals
  constexpr auto bit = [](int signal) { return uint64_t{1} << (signal - 1); };
  return (blocked | bit(SIGKILL) | bit(SIGSTOP) | bit(32) | bit(33)) == UINT64_MAX;
}

bool IsEpollWait(long number) {
#ifdef SYS_epoll_wait
  if (number == SYS_epoll_wait) return true;
#endif
#ifdef SYS_epoll_pwait2
  if (number == SYS_epoll_pwait2) return true;
#endif
  return number == SYS_epoll_pwait;
}

// Does this futex wait queue for a lock of libc or of another library? Its holder, or a lock that the waiter already
// holds, may be one that fork(3) takes. Condition variables and the runtime's own mutexes are fine: whoever holds those
// comes along.
bool WaitsForLibraryLock(const SystemCall& call, const LoadedModules& modules) {
  if (WaitsOnCondition(call) || (call.arguments[1] & FUTEX_CMD_MASK) != FUTEX_WAIT) return false;
  const uintptr_t word = call.arguments[0];
  return modules.IsLibraryData(word) || (word & (kArenaAlignment - 1)) < kArenaHeader;
}

// Does it wait for a mutex that an addon has handed over (atfork.h)? Those are taken by who forks, and by nobody else.
// A Worker must not get it in the child, where it would go on inside the addon.
bool WaitsForForkMutex(const SystemCall& call) {
  return !WaitsOnCondition(call) &&
         GetProcessState()->locks.HasMutex(reinterpret_cast<const pthread_mutex_t*>(call.arguments[0]));
}

struct Collector {
  ModuleSpan* spans;
  const char** paths;
  int count;
  int capacity;
  const ModuleSpan* runtime;
  const char* runtime_path;
  bool overflow;
};

int VisitModule(struct dl_phdr_info* info, size_t, void* data) {
  auto* collector = static_cast<Collector*>(data);
  ModuleSpan span = {UINTPTR_MAX, 0};
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD) continue;
    const uintptr_t begin = info->dlpi_addr + header.p_vaddr;
    if (begin < span.begin) span.begin = begin;
    if (begin + header.p_memsz > span.end) span.end = begin + header.p_memsz;
  }
  if (span.end == 0) return 0;
  if (collector->runtime->Contains(span.begin)) {
    collector->runtime_path = info->dlpi_name;
    return 0;
  }
  if (collector->count == collector->capacity) {
    collector->overflow = true;
    return 1;
  }
  collector->paths[collector->count] = info->dlpi_name;
  collector->spans[collector->count++] = span;
  return 0;
}

}  // namespace

void LoadedModules::Update() {
  Result<ModuleSpan> runtime = FindRuntimeModule();
  runtime_ = runtime ? runtime.value() : ModuleSpan{0, 0};
  Collector collector = {libraries_, paths_, 0, kMax, &runtime_, nullptr, false};
  dl_iterate_phdr(VisitModule, &collector);
  count_ = collector.count;
  runtime_path_ = collector.runtime_path;
  overflow_ = collector.overflow;
}

std::string LoadedModules::NameOf(uintptr_t address) const {
  const char* path = runtime_.Contains(address) ? runtime_path_ : nullptr;
  for (int i = 0; i < count_ && path == nullptr; ++i) {
    if (libraries_[i].Contains(address)) path = paths_[i];
  }
  if (path == nullptr) return {};
  if (path[0] == '\0') return ProgramName();
  const char* const slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

bool LoadedModules::IsLibraryCode(uintptr_t address) const {
  if (overflow_) return !runtime_.Contains(address);
  for (int i = 0; i < count_; ++i) {
    if (libraries_[i].Contains(address)) return true;
  }
  return false;
}

// glibc's, since 2.33: FUTEX_WAIT_BITSET. In 2.31 it is FUTEX_WAIT, as for a mutex, but for the word to be no longer 0
// (pthread_cond_wait.c), and that of a mutex that is waited for is 2 (lowlevellock.c).
bool WaitsOnCondition(const SystemCall& call) {
  if (call.number != SYS_futex) return false;
  const auto command = call.arguments[1] & FUTEX_CMD_MASK;
  return command == FUTEX_WAIT_BITSET || (command == FUTEX_WAIT && static_cast<uint32_t>(call.arguments[2]) == 0);
}

// System calls that wait for somebody else, and during which libc holds no lock of its own. Reading a regular file is
// not one: the name service switch and the loader do that under theirs. In the child it is a confined thread that comes
// back from the call: so it is no matter what the call does.
bool WaitsForOthers(const SystemCall& call) {
  switch (call.number) {
    case SYS_read:
    case SYS_readv: {
      struct stat status;
      return fstat(static_cast<int>(call.arguments[0]), &status) == 0 && !S_ISREG(status.st_mode);
    }
    case SYS_ppoll:
    case SYS_pselect6:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_accept:
    case SYS_accept4:
    case SYS_connect:
    case SYS_wait4:
    case SYS_waitid:
    case SYS_flock:
    case SYS_fcntl:
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
#ifdef SYS_poll
    case SYS_poll:
    case SYS_select:
#endif
      return true;
    default:
      return IsEpollWait(call.number);
  }
}

bool MayWaitToOpen(const SystemCall& call) {
#ifdef SYS_open
  if (call.number == SYS_open) return true;
#endif
  return call.number == SYS_openat;
}

SystemCall InterruptedCall(const ucontext_t& context) { return InterruptedCallAt(context); }

void FailInterruptedCall(ucontext_t* context, int error) {
  if (!InterruptedCallAt(*context).restarts) return;
#if defined(__x86_64__)
  context->uc_mcontext.gregs[REG_RIP] += 2;
  context->uc_mcontext.gregs[REG_RAX] = -error;
#elif defined(__aarch64__)
  context->uc_mcontext.pc += 4;
  context->uc_mcontext.regs[0] = static_cast<unsigned long long>(-error);
#endif
}

Position JudgePosition(const ucontext_t& context, ThreadRole role, const LoadedModules& modules) {
  if (!modules.IsLibraryCode(ProgramCounter(context))) {
    if (BlocksAllSignals(context)) return {false, false, "with all signals blocked"};
    return {role != ThreadRole::kPoolThread, false, "in the runtime's code"};
  }
  const SystemCall call = InterruptedCall(context);
  if (role == ThreadRole::kPoolThread) {
    const bool waits = call.present && (!call.restarts || WaitsForOthers(call) || MayWaitToOpen(call));
    return {waits, false, "at work"};
  }
  if (!call.present) return {false, false, "inside a library"};
  const int first = static_cast<int>(call.arguments[0]);
  if (IsEpollWait(call.number)) return {true, false, "epoll_wait", first};
  if (call.number == SYS_futex) {
    if (role == ThreadRole::kJsWorker && WaitsForForkMutex(call)) return {true, false, "futex", -1, true};
    if (WaitsForLibraryLock(call, modules)) return {false, true, "waiting for a lock of a library"};
    return {true, false, "futex"};
  }
  // That of the signal handlers' lock: whoever has it is on its way, see above.
  if (BlocksAllSignals(context)) return {false, false, "with all signals blocked"};
  // A call that answered EINTR has done nothing, and is not made again unless the thread decides so.
  // epoll_wait(2) is one of these (signal(7)).
  if (!call.restarts) return {true, false, "interrupted system call", first};
  // The kernel would make the call again in both processes: not for a thread that goes on freely in the child.
  if (role == ThreadRole::kRuntime || !WaitsForOthers(call)) return {false, true, "inside a system call"};
  return {true, false, "waiting in a system call"};
}

}  // namespace atfork::runtime

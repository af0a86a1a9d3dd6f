// fork.cc - the order of things around fork(2).
// Runs in:  the main thread; from fork's return of 0 on, the child's.
// Calls:    fork(3) (not _Fork: libuv's, libc's and everybody's handlers must run), rt_sigprocmask(2).
//
// Each step in the child may rely on those above it; docs/design.md gives the reasons for the order.
#include "runtime/fork.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "child/confine.h"
#include "child/hold.h"
#include "posix/at_fork_hook.h"
#include "posix/futex.h"
#include "posix/process_state.h"
#include "posix/signals_blocked.h"
#include "posix/unclaimed_children.h"
#include "runtime/child_limits.h"
#include "runtime/credentials.h"
#include "runtime/event_loop.h"
#include "runtime/exit_joins.h"
#include "runtime/fork_verdict.h"
#include "runtime/gate.h"
#include "runtime/heap_mappings.h"
#include "runtime/loop_batch.h"
#include "runtime/loop_fds.h"
#include "runtime/loop_replacement.h"
#include "runtime/math_random.h"
#include "runtime/openssl_seed.h"
#include "runtime/pending_work.h"
#include "runtime/pool_rest.h"
#include "runtime/query_ids.h"
#include "runtime/quiesce.h"
#include "runtime/roll_call.h"
#include "runtime/runtime_threads.h"
#include "runtime/shared_mappings.h"
#include "runtime/stdio_guard.h"
#include "runtime/thread_kinds.h"
#include "runtime/thread_roles.h"
#include "runtime/worker_aborts.h"
#include "runtime/worker_requests.h"
#include "runtime/worker_waits.h"

namespace atfork::runtime {
namespace {

// All locks are held, and other addons' handlers have prepared, for as long as the fork takes.
class Prepared {
 public:
  explicit Prepared(int64_t deadline) : prepared_(PrepareOwnFork(deadline, &refusal_)) {}
  ~Prepared() {
    if (prepared_) FinishOwnFork();
  }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;
  bool prepared() const { return prepared_; }
  Error error() const {
    if (refusal_.status == AcquireStatus::kDeadlock)
      return Error{EDEADLK, "", "lock", nullptr, Explain(refusal_.circle)};
    // A process that was made by _Fork(3) has none of V8's memory, which is kept out of forks, and comes by here only
    // if that was lifted.
    if (refusal_.status == AcquireStatus::kBypassed)
      return Error::Refused("ERR_ATFORK_NOT_FORK_SAFE", "lock", "it was made past the at-fork handlers");
    return Error{ETIMEDOUT, "", "lock", "ERR_ATFORK_LOCK_TIMEOUT", refusal_.participant->name};
  }

 private:
  LocksRefusal refusal_;
  const bool prepared_;
};

// What confined threads of the parent's pool do at most: fail what is queued.
constexpr double kPoolPatienceMs = 30000;

// With a timeout of 0 there is one try to stop the others, which takes its time too.
constexpr double kOneTryMs = 20;

// Main thread only.
ForkTimings timings;

// Microseconds since the last call.
class Stopwatch {
 public:
  double Lap() {
    const int64_t now = MonotonicNanos();
    const double lap = static_cast<double>(now - last_) / 1000;
    last_ = now;
    return lap;
  }

 private:
  int64_t last_ = MonotonicNanos();
};

// A parent that waits to hear of it says so in its own words.
[[noreturn]] void AbandonChild(const char* what, int error) {
  if (ExpectsCompletion() && TellCompletion(error == 0 ? EAGAIN : error)) _exit(child::kChildFailure);
  char text[160];
  const int length = std::snprintf(text, sizeof text, "atfork: the forked child could not be completed: %s: %s\n", what,
                                   error == 0 ? "failed" : std::strerror(error));
  if (write(STDERR_FILENO, text, static_cast<size_t>(length)) < 0) {
    // There is nobody else to tell.
  }
  _exit(child::kChildFailure);
}

Status CheckPermit() { return GetProcessState()->fork_permit.Check(ThisThread()); }

// What the watchers note is whole in the child.
void LockWatchers() {
  LockLoopFds();
  LockThreadRoles();
}
void UnlockWatchers() {
  UnlockThreadRoles();
  UnlockLoopFds();
}

void RestoreThreads(uv_loop_t* loop, const ParkedCounts& counts) {
  if (!RestoreRuntimeThreads()) AbandonChild("a thread was started on the stack of another", 0);
  RestoreHeapMappings();
  int error = RenewMathRandom();
  if (error != 0) AbandonChild("getrandom", error);
  ForgetQueryIds();
  DisownVerdict();
  // Read now: uv_loop_fork makes pipes too.
  const PipeEnds signal_lock = LastPipe();
  error = ReplaceLoopFds();
  if (error != 0) AbandonChild("event loop descriptors", error);
  error = RenewLoop(loop);
  if (error != 0) AbandonChild("uv_loop_fork", -error);
  if (counts.workers != 0) {
    error = CopySharedMappings();
    if (error != 0) AbandonChild("shared mappings", error);
    if (!WatchWorkerRequests()) AbandonChild("libuv's requests", 0);
  }
  if (counts.workers + counts.pool != 0 && !ConfineToLoopFds({loop->async_io_watcher.fd, loop->signal_pipefd[1],
                                                              signal_lock.read_end, signal_lock.write_end})) {
    AbandonChild("confinement", 0);
  }
  WithholdQueuedRequests(loop);
  UnlockWatchers();
  OpenGate();
  ReleasePool();
  error = RestartRuntimeThreads();
  if (error != 0) AbandonChild("clone", error);
}

// The rest of the child, with its signals back: the threads of libuv's pool inherit the mask.
void CompleteChild(uv_loop_t* loop, const ParkedCounts& counts) {
  if (ExpectsCompletion()) {
    const int error = ProbeThreads(PoolSize());
    if (error != 0) AbandonChild("pthread_create", error);
  }
  // Those that come back for it use the parent's pool to its end.
  if (!AwaitEndedPoolThreads(DeadlineAfterMs(kPoolPatienceMs))) AbandonChild("a libuv-pool thread does not end", 0);
  WithholdFinishedRequests(loop);
  ForgetUnclaimedChildren();
  // A Worker may be in the middle of using it: before that goes on, the new one must be there, since libuv empties the
  // queue when it builds one. Else there is time.
  if (counts.workers != 0 || !ForgetPoolWaiters()) {
    const int error = RenewPool();
    if (error != 0) AbandonChild("thread pool", -error);
  }
  if (counts.workers != 0) {
    const SignalsBlocked blocked;
    const int error = RestartWorkers();
    if (error != 0) AbandonChild("clone", error);
  } else {
    // The parent's list of threads: this process has its own.
    ForgetEverybody();
  }
  KeepInheritedStdio();
  GiveUpHopelessJoins();
  if (ExpectsCompletion()) static_cast<void>(TellCompletion(0));
  ForgetCompletion();
}

// What is left to be known before the fork. The last of it, so that a refusal is without consequences.
Status Provide(uv_loop_t* loop, const ParkedCounts& counts, const ForkOptions& options) {
  // Once more: nobody can enter a section any more.
  Status noted = CheckPermit();
  if (noted) noted = LearnHeapMappings();
  if (noted && counts.workers != 0) noted = NoteSharedMappings(options.copy_shared_mappings);
  const bool confines = counts.workers + counts.pool != 0;
  if (noted) noted = SnapshotLoopFds(uv_backend_fd(loop), loop->async_io_watcher.fd, confines);
  if (noted) noted = NoteMathRandom();
  if (noted) NoteQueryIds();
  if (noted) NoteSignals(loop);
  if (noted && (MayReachTaskLimit(counts.all + 1 + PoolSize()) || MayReachFdLimit())) noted = ExpectCompletion();
  return noted;
}

Result<pid_t> ForkParked(uv_loop_t* loop, const ParkedCounts& counts, const ForkOptions& options) {
  LockWatchers();
  Status provided = Provide(loop, counts, options);
  if (!provided) {
    UnlockWatchers();
    Unquiesce();
    return provided.error();
  }
  Stopwatch stopwatch;
  pid_t pid;
  int fork_errno;
  bool broken;
  {
    // A handler must not run in the child before it is complete, nor in the parent while the others stand still.
    const SignalsBlocked blocked;
    IncludeHeapMappings();
    pid = fork();
    fork_errno = errno;
    timings.fork = stopwatch.Lap();
    broken = !CommitFork();
    if (pid == 0) {
      if (broken) _exit(child::kChildFailure);
      RestoreThreads(loop, counts);
    } else {
      RestoreHeapMappings();
      UnlockWatchers();
      Unquiesce();
    }
  }
  if (pid == 0) {
    CompleteChild(loop, counts);
    return pid;
  }
  timings.release = stopwatch.Lap();
  if (pid < 0) {
    ForgetCompletion();
    return Error::Errno("fork", "fork", fork_errno);
  }
  if (broken) {
    ForgetCompletion();
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return Error::Refused("ERR_ATFORK_QUIESCE_TIMEOUT", "fork", "fork(2) took so long that parked threads gave up");
  }
  const int incomplete = ExpectsCompletion() ? AwaitCompletion(pid) : 0;
  ForgetCompletion();
  if (incomplete != 0) return Error::Errno("fork", "child", incomplete);
  return pid;
}

// Its address stands for this copy of the package.
Status loaded = Unit{};
bool tried = false;

}  // namespace

ForkTimings LastForkTimings() { return timings; }

pid_t OwnPid() { return getpid(); }

Result<std::string> PoolWork() {
  if (!loaded) return loaded.error();
  Status pool = LearnPool(MonotonicNanos());
  if (pool) return FindPoolWork();
  if (pool.error().code != nullptr && std::strcmp(pool.error().code, "ERR_ATFORK_QUIESCE_TIMEOUT") == 0) {
    return pool.error().detail;
  }
  return pool.error();
}

Status LoadFork() {
  if (tried) return loaded;
  tried = true;
  // Two copies would each watch the runtime's calls and answer for the same signal.
  void* nobody = nullptr;
  if (!GetProcessState()->runtime.compare_exchange_strong(nobody, &loaded)) {
    loaded = Error::Refused("ERR_ATFORK_DUPLICATE", "load", "fork() is offered by the copy that was loaded first");
    return loaded;
  }
#if !defined(__x86_64__)
  // What is said of other architectures here has never been run on one.
  loaded = Error::Refused("ERR_ATFORK_UNSUPPORTED", "load", "the architecture is not x86-64");
  return loaded;
#endif
  if (syscall(SYS_gettid) != getpid()) {
    // The child's initial thread is the one that forks; much of libc, libuv and Node takes the two for the same.
    loaded =
        Error::Refused("ERR_ATFORK_UNSUPPORTED", "load", "JavaScript's main thread is not the process's initial one");
    return loaded;
  }
  LoadChildLimits();
  FindOpenssl();
  loaded = WatchThreadStarts();
  if (loaded) loaded = LoadRuntimeThreads();
  if (loaded) loaded = WatchHeapMappings();
  if (loaded) loaded = WatchLoopFds();
  if (loaded) loaded = WatchPool();
  if (loaded) loaded = WatchStdio();
  if (loaded) loaded = WatchCredentials();
  if (loaded) loaded = WatchWaits();
  if (loaded) loaded = WatchQueryIds();
  if (loaded) loaded = WatchAborts();
  if (loaded) loaded = WatchJoins();
  if (loaded && !child::CanConfine()) {
    loaded = Error::Refused("ERR_ATFORK_UNSUPPORTED", "load", "seccomp(2) filters are not there");
  }
  return loaded;
}

Result<pid_t> Fork(uv_loop_t* loop, const ForkOptions& options) {
  if (!loaded) return loaded.error();
  Stopwatch stopwatch;
  const Prepared all(DeadlineAfterMs(options.lock_timeout_ms));
  if (!all.prepared()) return all.error();
  timings.lock = stopwatch.Lap();
  Status permit = CheckPermit();
  if (!permit) return permit.error();
  Status known = LearnEnvironment(loop);
  if (!known) return known.error();
  const unsigned pending = options.pending_work == PendingWork::kRefuse ? PendingRequests(loop) : 0;
  if (pending != 0) {
    return Error::Refused("ERR_ATFORK_PENDING_WORK", "fork", std::to_string(pending) + " of the main thread's");
  }
  const int64_t deadline = DeadlineAfterMs(std::max(options.quiesce_timeout_ms, kOneTryMs));
  const PoolRest rest = options.pending_work == PendingWork::kWait ? PoolRest::kNothingBegun : PoolRest::kWaiting;
  PrepareLostThreads(options.lost_threads);
  Status pool = LearnPool(deadline);
  if (!pool) return pool.error();
  Result<ParkedCounts> parked = ParkRuntimeThreads({loop, deadline, rest});
  if (!parked) return parked.error();
  timings.quiesce = stopwatch.Lap();
  Status counted = NoteLostThreads(options.lost_threads);
  if (!counted) {
    Unquiesce();
    return counted.error();
  }
  return ForkParked(loop, parked.value(), options);
}

}  // namespace atfork::runtime

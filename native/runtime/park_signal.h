// park_signal.h - stops one thread at a safe place by a signal, and lets it go again.
//
// The forking thread asks; the thread's signal handler looks where it was interrupted (park_position) and either parks,
// having saved what a new kernel thread needs to continue from there, or refuses and returns at once, to be asked
// again. Both processes then go on from the same parked threads: the parent releases them, the child restarts them
// (child/thread_restart).
//
// The signal is 32, which glibc calls SIGCANCEL and keeps to itself: it cannot be blocked through
// pthread_sigmask(3), so even threads that block everything (Node's inspector) take it, and no program can have given
// it a meaning. What is not ours is handed on to glibc's own handler, so pthread_cancel(3) goes on working.
#ifndef ATFORK_RUNTIME_PARK_SIGNAL_H_
#define ATFORK_RUNTIME_PARK_SIGNAL_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "child/thread_restart.h"
#include "runtime/glibc_layout.h"
#include "runtime/park_position.h"

namespace atfork::runtime {

enum class ParkState : uint32_t {
  kUnused,
  kAsked,     // the signal is on its way
  kParked,    // waiting in the handler
  kRefused,   // stood at an unsafe place; went on
  kReleased,  // was parked; goes on
  kGone,      // ended before it answered
};

// One thread that takes part in a fork. Lives in a static pool: a signal may arrive late, and its slot must still be
// the same thread's then.
struct ParkedThread {
  pid_t tid = 0;             // the kernel's id in this process
  uintptr_t descriptor = 0;  // struct pthread
  ThreadRole role = ThreadRole::kRuntime;
  std::atomic<ParkState> state{ParkState::kUnused};
  std::atomic<int> signals{0};  // sent, and not yet handled to the end
  // Instead of parking, the thread runs this in its handler, and answers kRefused.
  void (*task)(void*) = nullptr;
  void* task_argument = nullptr;
  // Or it only notes the system call that it stands in.
  bool look = false;
  SystemCall call = {};
  // Written by the thread's handler before it answers.
  Position position = {};
  child::RestartRecord restart = {};
  // The restarted thread still stands on its restart stack; the slot must not be used again.
  std::atomic<bool> restarting{false};
};

struct ParkSignal {
  const GlibcLayout* layout = nullptr;
  LoadedModules modules;
  pthread_key_t exit_key = 0;           // see runtime_threads.cc: how a restarted thread ends
  std::atomic<uint32_t> unanswered{0};  // futex: how many were asked and have not answered yet
  std::atomic<uint32_t> round{0};       // futex: parked threads sleep on it; bumped when they may go on
};

// Process-wide: one fork at a time.
extern ParkSignal park_signal;

// The pool of kMaxParkedThreads slots.
constexpr int kMaxParkedThreads = 1024;
ParkedThread* ParkPool();

// Value of the exit key in a thread that was brought back; see EndRestartedThread in runtime_threads.cc.
inline void* const kFirstExitRound = reinterpret_cast<void*>(1);

// Installs the handler, or puts it back in front of one that glibc installed meanwhile. 0 or an errno.
int InstallParkHandler();

// Sends the signal to `thread`. 0, ESRCH when it is gone, or EAGAIN (RLIMIT_SIGPENDING).
int AskToPark(ParkedThread* thread);

// Parent: lets a parked thread go on, once it is woken, or withdraws the question. Any state.
void ReleaseParked(ParkedThread* thread);
void WakeReleased();
// The same, when nobody stays parked: the first wakes two, each of which wakes two. To wake them all, the forking
// thread would take longer than for all the rest of a small fork; and where many are woken at once, some are put on its
// processor, and one of them, or the child that stands there too, runs before it. So a thread may still sleep when all
// have been released: WakeReleased wakes it.
void WakeAllReleased();

// Waits until everybody who was asked has answered, at most until the absolute CLOCK_MONOTONIC `deadline_ns`.
void AwaitAnswers(int64_t deadline_ns);

// The thread ended without an answer.
void GiveUpOn(ParkedThread* thread);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_PARK_SIGNAL_H_

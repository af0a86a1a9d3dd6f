// fork_mutex.h - a pthread mutex of another addon, which forks take with the locks. See fork_mutex.cc.
#ifndef ATFORK_POSIX_FORK_MUTEX_H_
#define ATFORK_POSIX_FORK_MUTEX_H_

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "posix/fork_participant.h"

namespace atfork {

class ForkMutex final : public ForkParticipant {
 public:
  using Orphaned = void (*)(void* arg);

  // Whether a mutex is of a kind that a child can make its own.
  static bool IsSupported(const pthread_mutex_t& mutex);

  // `mutex` stays in memory until Remove; `orphaned`, if not null, is called in a child whose parent had another thread
  // at work under it.
  ForkMutex(pthread_mutex_t* mutex, const char* its_name, int its_rank, Orphaned orphaned, void* arg)
      : ForkParticipant(ParticipantKind::kMutex, its_name, its_rank), mutex_(mutex), orphaned_(orphaned), arg_(arg) {}

  bool Is(const pthread_mutex_t* mutex) const { return mutex_.load() == mutex; }
  // From the next fork on it is none of those that forks take. False: it was removed before.
  bool Remove(pthread_mutex_t* mutex) { return mutex_.compare_exchange_strong(mutex, nullptr); }

  AcquireStatus AcquireForFork(const ThreadIdentity& self, const Patience& patience) override;
  void ReleaseAfterFork(const ThreadIdentity& self) override;
  // Our fork has not got it, whose thread may have taken it since.
  void BeginHeldForFork(uint32_t) override {}
  void PrepareForFork(const ThreadIdentity& self, int64_t deadline) override;
  void AfterForkParent(const ThreadIdentity& self) override;
  void AfterForkChild(const ThreadIdentity& self) override;
  // The calling thread's hold, whoever it is to the locks: a Worker of the parent's may end in the child with the mutex
  // in its hands.
  void Abandon(const ThreadIdentity&) override { Abandon(); }
  void Abandon();

 private:
  bool TakeOnce(const ThreadIdentity& self, int64_t deadline);
  void EndLevel();

  std::atomic<pthread_mutex_t*> mutex_;  // null: removed
  const Orphaned orphaned_;
  void* const arg_;
  // The token of the thread that has it for its fork, or had it before; 0: none. The rest is that thread's: how many
  // forks are under way, one inside the other, and what the first of them found.
  std::atomic<uint32_t> forker_{0};
  uint32_t levels_ = 0;
  pthread_mutex_t* taken_ = nullptr;
  bool was_its_own_ = false;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_FORK_MUTEX_H_

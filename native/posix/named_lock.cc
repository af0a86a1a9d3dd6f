// named_lock.cc - locks and semaphores that everybody in this process finds by their name.
// Runs in:  any thread. Calls: strdup(3), calloc(3), operator new. Returns: Result<>. What is made stays for the life
// of the process:
//           a fork may be about to take it at any time.
#include "posix/named_lock.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "posix/process_state.h"

namespace atfork {
namespace {

constexpr char kStage[] = "open";

struct Free {
  void operator()(void* memory) const { free(memory); }
};
using Name = std::unique_ptr<char, Free>;

Error OutOfMemory() { return Error::Errno("", kStage, ENOMEM); }

Status CheckRank(const ForkParticipant& lock, std::optional<int> rank) {
  if (!rank.has_value() || *rank == lock.rank) return Unit{};
  return Error{EINVAL, "", kStage, nullptr, "its rank is " + std::to_string(lock.rank)};
}

Error Cancelled() { return Error::Errno("", kStage, ECANCELED); }

// The lock of that name which is registered in the end: `made`, or the one that another thread made meanwhile; null:
// see LockRegistry::Add.
template <typename L>
L* Register(std::unique_ptr<L> made, Name name) {
  ForkParticipant* const registered = GetProcessState()->locks.Add(made.get(), ThisThread());
  if (registered != made.get()) return static_cast<L*>(registered);
  static_cast<void>(name.release());
  return made.release();
}

}  // namespace

Result<ProcessLock*> OpenNamedLock(const char* name, std::optional<int> rank) {
  ProcessState& state = *GetProcessState();
  auto* lock = static_cast<ProcessLock*>(state.locks.Find(name, ParticipantKind::kLock));
  if (lock == nullptr) {
    Name own(strdup(name));
    if (own == nullptr) return OutOfMemory();
    const uint32_t generation = ThisThread().generation;
    std::unique_ptr<ProcessLock> made(new (std::nothrow)
                                          ProcessLock(generation, ParticipantKind::kLock, own.get(), rank.value_or(0)));
    if (made == nullptr) return OutOfMemory();
    lock = Register(std::move(made), std::move(own));
    if (lock == nullptr) return Cancelled();
  }
  const Status same = CheckRank(*lock, rank);
  if (!same) return same.error();
  return lock;
}

Result<ProcessSemaphore*> OpenNamedSemaphore(const char* name, uint32_t permits, std::optional<int> rank) {
  ProcessState& state = *GetProcessState();
  auto* semaphore = static_cast<ProcessSemaphore*>(state.locks.Find(name, ParticipantKind::kSemaphore));
  if (semaphore == nullptr) {
    Name own(strdup(name));
    // Not new[]: its check of the size is of a newer libstdc++ than the oldest system has.
    std::unique_ptr<uint32_t, Free> room(static_cast<uint32_t*>(calloc(permits, sizeof(uint32_t))));
    if (own == nullptr || room == nullptr) return OutOfMemory();
    std::unique_ptr<ProcessSemaphore> made(
        new (std::nothrow) ProcessSemaphore(ThisThread().generation, own.get(), rank.value_or(0), room.get(), permits));
    if (made == nullptr) return OutOfMemory();
    const ProcessSemaphore* const mine = made.get();
    semaphore = Register(std::move(made), std::move(own));
    if (semaphore == nullptr) return Cancelled();
    if (semaphore == mine) static_cast<void>(room.release());
  }
  if (semaphore->most() != permits) {
    return Error{EINVAL, "", kStage, nullptr, "its number of permits is " + std::to_string(semaphore->most())};
  }
  const Status same = CheckRank(*semaphore, rank);
  if (!same) return same.error();
  return semaphore;
}

}  // namespace atfork

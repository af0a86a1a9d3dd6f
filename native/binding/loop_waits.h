// loop_waits.h - what an environment's event loop waits for without blocking: locks, for acquireAsync().
// Runs in: the environment's own thread.
#ifndef ATFORK_BINDING_LOOP_WAITS_H_
#define ATFORK_BINDING_LOOP_WAITS_H_

#include <napi.h>

#include <cstdint>
#include <map>
#include <memory>

#include "posix/lock.h"
#include "runtime/loop_waker.h"

namespace atfork::binding {

class LoopWaits {
 public:
  // Exports `lockWaits`: see lib/internal/native-lock.ts. The environment's end withdraws what it waits for.
  static void Install(Napi::Env env, Napi::Object exports);
  static LoopWaits* Of(napi_env env);

  // Below kFirstId: an AcquireStatus, kTooDeep also when there is no memory. Else it is queued under that id, and
  // `on_turn` is called when it is to claim the lock.
  static constexpr uint32_t kFirstId = 8;
  uint32_t Begin(Lock* lock, Napi::Function on_turn);

 private:
  struct Wait {
    Wait(const ThreadIdentity& self, LoopWaker* waker, Lock* awaited) : waiter(self, waker), lock(awaited) {}
    Waiter waiter;
    Lock* const lock;
    Napi::FunctionReference on_turn;
  };

  explicit LoopWaits(Napi::Env env) : env_(env) {}
  bool OpenWaker();
  void Look();
  // kTimedOut: it still waits. kCancelled: it does not wait.
  AcquireStatus Claim(uint32_t id);
  // It waits no more, and what it has been given it gives back. False: it did not wait.
  bool Withdraw(uint32_t id);
  void End(napi_async_cleanup_hook_handle handle);
  void KeepAlive();

  const Napi::Env env_;
  uint32_t last_id_ = 0;
  runtime::UvLoopWaker* waker_ = nullptr;
  std::map<uint32_t, std::unique_ptr<Wait>> waits_;
};

}  // namespace atfork::binding

#endif  // ATFORK_BINDING_LOOP_WAITS_H_

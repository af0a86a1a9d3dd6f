// loop_waits.h - what an environment's event loop waits for without blocking: locks, for acquireAsync().
// Runs in: the environment's own thread.
#ifndef ATFORK_BINDING_LOOP_WAITS_H_
#define ATFORK_BINDING_LOOP_WAITS_H_

#include <napi.h>

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "posix/lock.h"
#include "runtime/loop_waker.h"

namespace atfork::binding {

class LoopWaits {
 public:
  // Exports `lockWaits`: {listen(fn), withdraw(id), forget()}. The environment's end withdraws what it waits for.
  static void Install(Napi::Env env, Napi::Object exports);
  static LoopWaits* Of(napi_env env);

  // kTimedOut: queued, and the listener will hear `(id, status)`. kTooDeep: no memory for that.
  AcquireStatus Begin(Lock* lock, uint32_t id);
  // It waits no more, and the listener does not hear of it. Nothing happens when it was over.
  void Withdraw(uint32_t id);
  // The child of a fork: all this is the parent's.
  void Forget();

 private:
  struct Wait {
    Wait(const ThreadIdentity& self, LoopWaker* waker, Lock* awaited) : waiter(self, waker), lock(awaited) {}
    Waiter waiter;
    Lock* const lock;
  };

  explicit LoopWaits(Napi::Env env) : env_(env) {}
  bool OpenWaker();
  bool RunsJavaScript();
  void Look();
  void End(napi_async_cleanup_hook_handle handle);
  void KeepAlive();

  const Napi::Env env_;
  Napi::FunctionReference listener_;
  runtime::UvLoopWaker* waker_ = nullptr;
  std::map<uint32_t, std::unique_ptr<Wait>> waits_;
};

}  // namespace atfork::binding

#endif  // ATFORK_BINDING_LOOP_WAITS_H_

// loop_waits.cc - what an environment's event loop waits for without blocking; see loop_waits.h.
// Runs in:  the environment's own thread: from JavaScript, from its loop when a lock may be its own, at its end.
// Calls:    the listener of lib/locks, once for each wait that is over, with a tick of its own: promises go on at once.
#include "binding/loop_waits.h"

#include <new>

#include "posix/process_state.h"

namespace atfork::binding {

void LoopWaits::Install(Napi::Env env, Napi::Object exports) {
  auto* const self = new LoopWaits(env);
  env.SetInstanceData<LoopWaits>(self);
  Napi::Object waits = Napi::Object::New(env);
  waits.Set("listen", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
              self->listener_ = Napi::Persistent(info[0].As<Napi::Function>());
            }));
  waits.Set("withdraw", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
              self->Withdraw(info[0].As<Napi::Number>().Uint32Value());
            }));
  waits.Set("forget", Napi::Function::New(env, [self](const Napi::CallbackInfo&) { self->Forget(); }));
  exports.Set("lockWaits", waits);
  const auto on_end = [](napi_async_cleanup_hook_handle handle, void* waits) {
    static_cast<LoopWaits*>(waits)->End(handle);
  };
  napi_add_async_cleanup_hook(env, on_end, self, nullptr);
}

LoopWaits* LoopWaits::Of(napi_env env) { return Napi::Env(env).GetInstanceData<LoopWaits>(); }

AcquireStatus LoopWaits::Begin(Lock* lock, uint32_t id) {
  if (!OpenWaker()) return AcquireStatus::kTooDeep;
  std::unique_ptr<Wait> wait(new (std::nothrow) Wait(ThisThread(), waker_, lock));
  if (wait == nullptr) return AcquireStatus::kTooDeep;
  const AcquireStatus status = lock->Enqueue(&wait->waiter);
  if (status == AcquireStatus::kTimedOut) waits_.emplace(id, std::move(wait));
  KeepAlive();
  return status;
}

void LoopWaits::Withdraw(uint32_t id) {
  const auto found = waits_.find(id);
  if (found == waits_.end()) return;
  found->second->lock->Withdraw(&found->second->waiter);
  waits_.erase(found);
  KeepAlive();
}

void LoopWaits::Forget() {
  waits_.clear();
  if (waker_ != nullptr) waker_->Abandon();
  waker_ = nullptr;
}

bool LoopWaits::OpenWaker() {
  if (waker_ != nullptr) return true;
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env_, &loop) != napi_ok) return false;
  waker_ = runtime::UvLoopWaker::Open(
      loop, [](void* waits) { static_cast<LoopWaits*>(waits)->Look(); }, this);
  return waker_ != nullptr;
}

// A Worker that is being terminated runs no JavaScript: what is given to it then, nobody must take. End() gives it
// back.
bool LoopWaits::RunsJavaScript() {
  return napi_call_function(env_, env_.Global(), listener_.Value(), 0, nullptr, nullptr) == napi_ok;
}

void LoopWaits::Look() {
  const Napi::HandleScope scope(env_);
  if (!RunsJavaScript()) return;
  // The listener may begin other waits, and withdraw these.
  std::vector<std::pair<uint32_t, AcquireStatus>> over;
  for (auto at = waits_.begin(); at != waits_.end();) {
    Wait& wait = *at->second;
    AcquireStatus status = AcquireStatus::kTimedOut;
    if (wait.waiter.state.load() != Waiter::kAsleep) status = wait.lock->Claim(&wait.waiter);
    if (status == AcquireStatus::kTimedOut) {
      ++at;
      continue;
    }
    over.emplace_back(at->first, status);
    at = waits_.erase(at);
  }
  KeepAlive();
  for (const auto& [id, status] : over) {
    const Napi::HandleScope each(env_);
    const napi_value arguments[] = {Napi::Number::New(env_, id), Napi::Number::New(env_, static_cast<int>(status))};
    // As an event of the loop: process.nextTick() and promises have their turn when it returns.
    if (napi_make_callback(env_, nullptr, env_.Global(), listener_.Value(), 2, arguments, nullptr) != napi_ok) return;
  }
}

// What its guards hold is not in here: AbandonAll orphans it.
void LoopWaits::End(napi_async_cleanup_hook_handle handle) {
  for (const auto& [id, wait] : waits_) wait->lock->Withdraw(&wait->waiter);
  waits_.clear();
  const auto closed = [](void* hook) {
    napi_remove_async_cleanup_hook(static_cast<napi_async_cleanup_hook_handle>(hook));
  };
  if (waker_ == nullptr) {
    closed(handle);
    return;
  }
  waker_->Close(closed, handle);
  waker_ = nullptr;
}

void LoopWaits::KeepAlive() {
  if (waker_ != nullptr) waker_->KeepAlive(!waits_.empty());
}

}  // namespace atfork::binding

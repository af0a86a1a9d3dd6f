// loop_waits.cc - what an environment's event loop waits for without blocking; see loop_waits.h.
// Runs in:  the environment's own thread: from JavaScript, from its loop when a lock may be its own, at its end.
// Calls:    what JavaScript has given for each wait, when that may be over.
#include "binding/loop_waits.h"

#include <new>
#include <vector>

#include "posix/process_state.h"

namespace atfork::binding {

void LoopWaits::Install(Napi::Env env, Napi::Object exports) {
  auto* const self = new LoopWaits(env);
  env.SetInstanceData<LoopWaits>(self);
  Napi::Object waits = Napi::Object::New(env);
  waits.Set("claim", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
              const AcquireStatus status = self->Claim(info[0].As<Napi::Number>().Uint32Value());
              return Napi::Number::New(info.Env(), static_cast<int>(status));
            }));
  waits.Set("withdraw", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
              return Napi::Boolean::New(info.Env(), self->Withdraw(info[0].As<Napi::Number>().Uint32Value()));
            }));
  waits.Set("forgetAll",
            Napi::Function::New(env, [](const Napi::CallbackInfo&) { runtime::UvLoopWaker::ForgetAll(); }));
  exports.Set("lockWaits", waits);
  const auto on_end = [](napi_async_cleanup_hook_handle handle, void* waits) {
    static_cast<LoopWaits*>(waits)->End(handle);
  };
  napi_add_async_cleanup_hook(env, on_end, self, nullptr);
}

LoopWaits* LoopWaits::Of(napi_env env) { return Napi::Env(env).GetInstanceData<LoopWaits>(); }

uint32_t LoopWaits::Begin(Lock* lock, Napi::Function on_turn) {
  if (!OpenWaker()) return static_cast<uint32_t>(AcquireStatus::kTooDeep);
  std::unique_ptr<Wait> wait(new (std::nothrow) Wait(ThisThread(), waker_, lock));
  if (wait == nullptr) return static_cast<uint32_t>(AcquireStatus::kTooDeep);
  const AcquireStatus status = lock->Enqueue(&wait->waiter);
  if (status != AcquireStatus::kTimedOut) return static_cast<uint32_t>(status);
  wait->on_turn = Napi::Persistent(on_turn);
  do {
    ++last_id_;
  } while (last_id_ < kFirstId || waits_.count(last_id_) != 0);
  waits_.emplace(last_id_, std::move(wait));
  KeepAlive();
  return last_id_;
}

bool LoopWaits::Withdraw(uint32_t id) {
  const auto found = waits_.find(id);
  if (found == waits_.end()) return false;
  found->second->lock->Withdraw(&found->second->waiter);
  waits_.erase(found);
  KeepAlive();
  return true;
}

bool LoopWaits::OpenWaker() {
  if (waker_ != nullptr) return true;
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env_, &loop) != napi_ok) return false;
  const auto look = [](void* waits) { static_cast<LoopWaits*>(waits)->Look(); };
  const auto forget = [](void* waits) {
    static_cast<LoopWaits*>(waits)->waits_.clear();
    static_cast<LoopWaits*>(waits)->waker_ = nullptr;
  };
  waker_ = runtime::UvLoopWaker::Open(loop, look, forget, this);
  return waker_ != nullptr;
}

// JavaScript claims: a Worker that is being terminated runs none, and takes nothing then. End() gives it back.
void LoopWaits::Look() {
  const Napi::HandleScope scope(env_);
  std::vector<uint32_t> woken;
  for (const auto& [id, wait] : waits_) {
    if (wait->waiter.state.load() != Waiter::kAsleep) woken.push_back(id);
  }
  for (const uint32_t id : woken) {
    const Napi::HandleScope each(env_);
    const auto found = waits_.find(id);  // the one before may have withdrawn it
    if (found == waits_.end()) continue;
    const napi_value on_turn = found->second->on_turn.Value();
    // As an event of the loop: process.nextTick() and promises have their turn when it returns, and what they throw is
    // nobody's here.
    const napi_status status = napi_make_callback(env_, nullptr, env_.Global(), on_turn, 0, nullptr, nullptr);
    if (status != napi_pending_exception) continue;
    napi_value error;
    if (napi_get_and_clear_last_exception(env_, &error) == napi_ok) napi_fatal_exception(env_, error);
  }
}

AcquireStatus LoopWaits::Claim(uint32_t id) {
  const auto found = waits_.find(id);
  if (found == waits_.end()) return AcquireStatus::kCancelled;
  const AcquireStatus status = found->second->lock->Claim(&found->second->waiter);
  if (status != AcquireStatus::kTimedOut) waits_.erase(found);
  KeepAlive();
  return status;
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

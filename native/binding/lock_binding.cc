// lock_binding.cc - the in-process locks for JavaScript (lib/internal/native-lock.ts).
// Runs in:  any environment, its own thread, the parent or a complete child.
// JavaScript takes and releases a lock without a call of these as long as nobody else wants it
// (lib/internal/lock-words); it sees the lock's first two words for that. Every function belongs to one lock, which is
// its data pointer. Arguments were validated by lib/locks.
#include <napi.h>

#include <optional>
#include <string>
#include <vector>

#include "binding/binding.h"
#include "binding/lock_call.h"
#include "binding/loop_waits.h"
#include "posix/lock_registry.h"
#include "posix/named_lock.h"
#include "posix/process_state.h"

namespace atfork::binding {
namespace {

using Call = LockCall<Lock>;

// What the last deadlock that this thread was saved from would have been.
thread_local Circle last_circle;

// () -> status
napi_value TryAcquire(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->TryAcquire(ThisThread()));
}

// (timeout in ms, () => void) -> status
napi_value Acquire(napi_env env, napi_callback_info info) {
  Call call(env, info);
  return call.Return(call.lock->Acquire(ThisThread(), call.ToPatience(&last_circle)));
}

// () -> whether it was released: this thread held it
napi_value Release(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->Release(ThisThread()));
}

// () -> whether this thread holds it
napi_value MakeConsistent(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->MakeConsistent(ThisThread()));
}

// The same for what a guard of this thread's event loop holds.
napi_value ReleaseByLoop(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->ReleaseByLoop(ThisThread()));
}
napi_value MakeConsistentByLoop(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->MakeConsistentByLoop(ThisThread()));
}

// (onTurn) -> status, or the id of the wait
napi_value Enqueue(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  napi_value result;
  napi_create_uint32(env, LoopWaits::Of(env)->Begin(call.lock, Napi::Function(env, call.arguments[0])), &result);
  return result;
}

napi_value IsHeld(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->IsHeld());
}

napi_value IsOrphaned(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->IsOrphaned());
}

napi_value Holders(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(static_cast<int32_t>(call.lock->Holders(nullptr, 0)));
}

// () -> {pid, tid, threadId, label, depth, isLoop} or null
napi_value Owner(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return ToValue(env, call.lock->Owner());
}

Napi::Object LockToObject(Napi::Env env, Lock* lock) {
  constexpr LockMethod kMethods[] = {
      {"tryAcquire", TryAcquire},
      {"acquire", Acquire},
      {"release", Release},
      {"makeConsistent", MakeConsistent},
      {"releaseByLoop", ReleaseByLoop},
      {"makeConsistentByLoop", MakeConsistentByLoop},
      {"enqueue", Enqueue},
      {"isHeld", IsHeld},
      {"isOrphaned", IsOrphaned},
      {"holders", Holders},
      {"owner", Owner},
  };
  Napi::Object object = Napi::Object::New(env);
  SetMethods(object, kMethods, lock);
  if (lock->kind == ParticipantKind::kSemaphore) {
    object.Set("words", env.Null());
  } else {
    object.Set("words", View(env, static_cast<ProcessLock*>(lock)->view(), ProcessLock::kViewSize));
  }
  return object;
}

std::optional<int> ToRank(const Napi::Value& value) {
  if (value.IsUndefined()) return std::nullopt;
  return value.As<Napi::Number>().Int32Value();
}

// (name, rank?) -> lock or NativeErrorInfo
Napi::Value NamedLock(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>();
  const auto lock = OpenNamedLock(name.c_str(), ToRank(info[1]));
  if (!lock.ok()) return ToNativeErrorInfo(info.Env(), lock.error());
  return LockToObject(info.Env(), lock.value());
}

// (name, permits, rank?) -> lock or NativeErrorInfo
Napi::Value NamedSemaphore(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>();
  const auto semaphore = OpenNamedSemaphore(name.c_str(), info[1].As<Napi::Number>().Uint32Value(), ToRank(info[2]));
  if (!semaphore.ok()) return ToNativeErrorInfo(info.Env(), semaphore.error());
  return LockToObject(info.Env(), semaphore.value());
}

// Those that hold `lock`, or wait for it, to `list`. The lists change while they are asked for: some more room each
// time.
void AddUsers(const Lock& lock, size_t (Lock::*users)(uint32_t*, size_t) const, Napi::Array list) {
  std::vector<uint32_t> tokens;
  size_t count = (lock.*users)(nullptr, 0);
  while (count > tokens.size()) {
    tokens.resize(count + 8);
    count = (lock.*users)(tokens.data(), tokens.size());
  }
  const Napi::Env env = list.Env();
  for (size_t i = 0; i < count; ++i) {
    ThreadDescription thread;
    GetProcessState()->threads.Describe(tokens[i], &thread);
    Napi::Object each = ToObject(env, thread);
    each.Set("name", Napi::String::New(env, lock.name));
    each.Set("kind", Napi::Number::New(env, static_cast<int>(lock.kind)));
    each.Set("isLoop", Napi::Boolean::New(env, (tokens[i] & kLoopOwner) != 0));
    list.Set(list.Length(), each);
  }
}

// () -> {held, pending}
Napi::Value QueryLocks(const Napi::CallbackInfo& info) {
  Napi::Array held = Napi::Array::New(info.Env());
  Napi::Array pending = Napi::Array::New(info.Env());
  for (const ForkParticipant* each = GetProcessState()->locks.first(); each != nullptr; each = each->next.load()) {
    if (each->kind == ParticipantKind::kMutex) continue;  // who holds it, its library knows
    AddUsers(*static_cast<const Lock*>(each), &Lock::Holders, held);
    AddUsers(*static_cast<const Lock*>(each), &Lock::Waiters, pending);
  }
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("held", held);
  result.Set("pending", pending);
  return result;
}

// (threadId, label) -> void: what others see of this thread
void NameThread(const Napi::CallbackInfo& info) {
  const std::string label = info[1].As<Napi::String>();
  GetProcessState()->threads.Name(ThisThread().entry, info[0].As<Napi::Number>().Int32Value(), label.c_str());
}

}  // namespace

void InitLock(Napi::Env env, Napi::Object exports) {
  const Status status = ProcessStateStatus();
  if (!status.ok()) {
    // The addon does not load: a lock that only half of the process knows would be none.
    const Error& error = status.error();
    const Napi::Error thrown = Napi::Error::New(env, error.detail.empty() ? error.syscall : error.detail);
    if (error.code != nullptr) thrown.Set("code", Napi::String::New(env, error.code));
    thrown.ThrowAsJavaScriptException();
    return;
  }
  // From now on this thread is of this process, whatever it does first.
  ThreadIdentity& self = ThisThread();
  // A Worker that is terminated while it holds the lock, or prevents forks, runs no `finally`. This is the last that
  // its thread does here.
  env.AddCleanupHook(AbandonAll);
  LoopWaits::Install(env, exports);
  exports.Set("identity", View(env, &self, 2 * sizeof(uint32_t)));
  exports.Set("generation", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
                return Napi::Number::New(info.Env(), ThisThread().generation);
              }));
  exports.Set("nameThread", Napi::Function::New(env, NameThread));
  exports.Set("explainDeadlock", Napi::Function::New(env, [](const Napi::CallbackInfo& info) {
                return Napi::String::New(info.Env(), Explain(last_circle));
              }));
  exports.Set("namedLock", Napi::Function::New(env, NamedLock));
  exports.Set("namedSemaphore", Napi::Function::New(env, NamedSemaphore));
  exports.Set("queryLocks", Napi::Function::New(env, QueryLocks));
  exports.Set("globalLock", LockToObject(env, &GetProcessState()->global_lock));
}

}  // namespace atfork::binding

// lock_binding.cc - the in-process locks for JavaScript (lib/internal/native-lock.ts).
// Runs in:  any environment, its own thread, the parent or a complete child.
// JavaScript takes and releases a lock without a call of these as long as nobody else wants it
// (lib/internal/lock-words); it sees the lock's first two words for that. Raw Node-API, since with contention the calls
// below are the lock's speed. Every function belongs to one lock, which is its data pointer. Arguments were validated
// by lib/locks.
#include <napi.h>

#include <optional>
#include <string>
#include <vector>

#include "binding/binding.h"
#include "binding/loop_waits.h"
#include "posix/futex.h"
#include "posix/lock_registry.h"
#include "posix/named_lock.h"
#include "posix/process_state.h"

namespace atfork::binding {
namespace {

// A call of a method of `lock`; at most two arguments.
struct Call {
  Call(napi_env env, napi_callback_info info) : env(env) {
    void* data = nullptr;
    size_t count = 2;
    napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
    lock = static_cast<Lock*>(data);
  }
  napi_value Return(int32_t value) const {
    napi_value result;
    napi_create_int32(env, value, &result);
    return result;
  }
  napi_value Return(bool value) const {
    napi_value result;
    napi_get_boolean(env, value, &result);
    return result;
  }

  const napi_env env;
  napi_value arguments[2] = {};
  Lock* lock = nullptr;
};

// What the last deadlock that this thread was saved from would have been.
thread_local Circle last_circle;

// The numbers of lockStatus in lib/internal/native-lock.ts.
int32_t ToStatus(AcquireStatus status) { return static_cast<int32_t>(status); }

// () -> status
napi_value TryAcquire(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(ToStatus(call.lock->TryAcquire(ThisThread())));
}

// Runs JavaScript, which V8 does not if this environment is to end.
bool MayGoOn(void* arg) {
  const Call& call = *static_cast<const Call*>(arg);
  napi_handle_scope scope;
  if (napi_open_handle_scope(call.env, &scope) != napi_ok) return false;
  napi_value undefined;
  napi_get_undefined(call.env, &undefined);
  const napi_status status = napi_call_function(call.env, undefined, call.arguments[1], 0, nullptr, nullptr);
  napi_close_handle_scope(call.env, scope);
  return status == napi_ok;
}

// (timeout in ms, () => void) -> status. The function does nothing: see MayGoOn.
napi_value Acquire(napi_env env, napi_callback_info info) {
  Call call(env, info);
  double timeout = 0;
  napi_get_value_double(env, call.arguments[0], &timeout);
  const Patience patience = {DeadlineAfterMs(timeout), MayGoOn, &call, &last_circle};
  const AcquireStatus status = call.lock->Acquire(ThisThread(), patience);
  return call.Return(ToStatus(status));
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

Napi::Object ToObject(Napi::Env env, const ThreadDescription& thread) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("pid", Napi::Number::New(env, thread.pid));
  object.Set("tid", Napi::Number::New(env, thread.tid));
  object.Set("threadId", Napi::Number::New(env, thread.thread_id));
  object.Set("label", Napi::String::New(env, thread.label));
  return object;
}

napi_value Holders(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(static_cast<int32_t>(call.lock->Holders(nullptr, 0)));
}

// () -> {pid, tid, threadId, label, depth, isLoop} or null
napi_value Owner(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const auto owner = call.lock->Owner();
  if (!owner.has_value()) return Napi::Env(env).Null();
  Napi::Object result = ToObject(env, owner->thread);
  result.Set("depth", Napi::Number::New(env, owner->depth));
  result.Set("isLoop", Napi::Boolean::New(env, owner->is_loop));
  return result;
}

// Memory of ours as an ArrayBuffer; null where there are none (V8 built with pointer compression).
Napi::Value View(Napi::Env env, void* memory, size_t size) {
  napi_value buffer;
  const napi_status status = napi_create_external_arraybuffer(env, memory, size, nullptr, nullptr, &buffer);
  if (status == napi_ok) return Napi::Value(env, buffer);
  if (env.IsExceptionPending()) env.GetAndClearPendingException();
  return env.Null();
}

Napi::Object ToObject(Napi::Env env, Lock* lock) {
  constexpr struct {
    const char* name;
    napi_callback method;
  } kMethods[] = {
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
  for (const auto& [name, method] : kMethods) {
    napi_value function;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, method, lock, &function) != napi_ok) break;
    object.Set(name, function);
  }
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
  return ToObject(info.Env(), lock.value());
}

// (name, permits, rank?) -> lock or NativeErrorInfo
Napi::Value NamedSemaphore(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>();
  const auto semaphore = OpenNamedSemaphore(name.c_str(), info[1].As<Napi::Number>().Uint32Value(), ToRank(info[2]));
  if (!semaphore.ok()) return ToNativeErrorInfo(info.Env(), semaphore.error());
  return ToObject(info.Env(), semaphore.value());
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
  exports.Set("globalLock", ToObject(env, &GetProcessState()->global_lock));
}

}  // namespace atfork::binding

// lock_binding.cc - the in-process locks for JavaScript (lib/internal/native-lock.ts).
// Runs in:  any environment, its own thread, the parent or a complete child.
// Raw Node-API: taking and releasing the lock is two calls of some nanoseconds, and a wrapper around each would double
// that. Every function belongs to one lock, which is its data pointer. Arguments were validated by lib/locks.
#include <napi.h>

#include "binding/binding.h"
#include "posix/futex.h"
#include "posix/process_lock.h"
#include "posix/process_state.h"

namespace atfork::binding {
namespace {

// A call of a method of `lock`; at most one argument.
struct Call {
  Call(napi_env env, napi_callback_info info) : env(env) {
    void* data = nullptr;
    napi_get_cb_info(env, info, &argc, &argument, nullptr, &data);
    lock = static_cast<ProcessLock*>(data);
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
  size_t argc = 1;
  napi_value argument = nullptr;
  ProcessLock* lock = nullptr;
};

// A ticket stands for having acquired the lock: in which generation of forks, and in bit 0 whether its owner had died.
// Never negative, as those numbers say why there is no ticket (lockStatus in lib/internal/native-lock.ts).
int32_t ToTicket(AcquireStatus status, const ThreadIdentity& self) {
  if (!IsAcquired(status)) return -static_cast<int32_t>(status);
  return static_cast<int32_t>(self.generation << 1) | (status == AcquireStatus::kOwnerDied ? 1 : 0);
}

// () -> ticket or status
napi_value TryAcquire(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const ThreadIdentity& self = ThisThread();
  return call.Return(ToTicket(call.lock->TryAcquire(self), self));
}

// (timeout in ms) -> ticket or status
napi_value Acquire(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  double timeout = 0;
  napi_get_value_double(env, call.argument, &timeout);
  const ThreadIdentity& self = ThisThread();
  return call.Return(ToTicket(call.lock->Acquire(self, DeadlineAfterMs(timeout)), self));
}

// Whether the ticket was given out in this process, not in one that it was forked from.
bool IsCurrentTicket(const Call& call, const ThreadIdentity& self) {
  int32_t ticket = 0;
  napi_get_value_int32(call.env, call.argument, &ticket);
  return static_cast<uint32_t>(ticket) >> 1 == self.generation;
}

// (ticket?) -> whether it was released: this thread held it, and the ticket, if there is one, is of this process
napi_value Release(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const ThreadIdentity& self = ThisThread();
  if (call.argc > 0 && !IsCurrentTicket(call, self)) return call.Return(false);
  return call.Return(call.lock->Release(self));
}

// (ticket) -> boolean
napi_value IsCurrent(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(IsCurrentTicket(call, ThisThread()));
}

// () -> whether this thread holds it
napi_value MakeConsistent(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->MakeConsistent(ThisThread()));
}

napi_value IsHeld(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->IsHeld());
}

napi_value IsOrphaned(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->IsOrphaned());
}

// () -> {pid, tid, depth} or null
napi_value Owner(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const auto owner = call.lock->Owner();
  if (!owner.has_value()) return Napi::Env(env).Null();
  Napi::Object result = Napi::Object::New(env);
  result.Set("pid", Napi::Number::New(env, owner->pid));
  result.Set("tid", Napi::Number::New(env, owner->tid));
  result.Set("depth", Napi::Number::New(env, owner->depth));
  return result;
}

Napi::Object MethodsOf(Napi::Env env, ProcessLock* lock) {
  constexpr struct {
    const char* name;
    napi_callback method;
  } kMethods[] = {
      {"tryAcquire", TryAcquire},         {"acquire", Acquire}, {"release", Release},       {"isCurrent", IsCurrent},
      {"makeConsistent", MakeConsistent}, {"isHeld", IsHeld},   {"isOrphaned", IsOrphaned}, {"owner", Owner},
  };
  Napi::Object methods = Napi::Object::New(env);
  for (const auto& [name, method] : kMethods) {
    napi_value function;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, method, lock, &function) != napi_ok) break;
    methods.Set(name, function);
  }
  return methods;
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
  ThisThread();
  // A Worker that is terminated while it holds the lock, or prevents forks, runs no `finally`. This is the last that
  // its thread does here.
  env.AddCleanupHook(AbandonAll);
  exports.Set("globalLock", MethodsOf(env, &GetProcessState()->global_lock));
}

}  // namespace atfork::binding

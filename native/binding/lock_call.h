// lock_call.h - what the bindings of locks share: a call of a lock's method, and the values that they return.
// Runs in: any environment, its own thread.
#ifndef ATFORK_BINDING_LOCK_CALL_H_
#define ATFORK_BINDING_LOCK_CALL_H_

#include <napi.h>

#include <optional>

#include "posix/futex.h"
#include "posix/lock.h"

namespace atfork::binding {

// A call of a function whose data pointer is a `T`; at most two arguments. Raw Node-API, since with contention the
// calls are a lock's speed.
template <typename T>
struct LockCall {
  LockCall(napi_env env, napi_callback_info info) : env(env) {
    void* data = nullptr;
    size_t count = 2;
    napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
    lock = static_cast<T*>(data);
  }
  napi_value Return(int32_t value) const {
    napi_value result;
    napi_create_int32(env, value, &result);
    return result;
  }
  // The numbers of lockStatus in lib/internal/native-lock.ts.
  napi_value Return(AcquireStatus status) const { return Return(static_cast<int32_t>(status)); }
  napi_value Return(bool value) const {
    napi_value result;
    napi_get_boolean(env, value, &result);
    return result;
  }
  double Number(int index) const {
    double number = 0;
    napi_get_value_double(env, arguments[index], &number);
    return number;
  }
  // Of a call with (timeout in ms, () => void). The function does nothing, but V8 does not call it, and so no wait goes
  // on, if this environment is to end.
  Patience ToPatience(Circle* circle) { return {DeadlineAfterMs(Number(0)), MayGoOn, this, circle}; }

  const napi_env env;
  napi_value arguments[2] = {};
  T* lock = nullptr;

 private:
  static bool MayGoOn(void* arg) {
    const LockCall& call = *static_cast<const LockCall*>(arg);
    napi_handle_scope scope;
    if (napi_open_handle_scope(call.env, &scope) != napi_ok) return false;
    napi_value undefined;
    napi_get_undefined(call.env, &undefined);
    const napi_status status = napi_call_function(call.env, undefined, call.arguments[1], 0, nullptr, nullptr);
    napi_close_handle_scope(call.env, scope);
    return status == napi_ok;
  }
};

struct LockMethod {
  const char* name;
  napi_callback method;
};

template <size_t N>
void SetMethods(Napi::Object object, const LockMethod (&methods)[N], void* lock) {
  for (const auto& [name, method] : methods) {
    napi_value function;
    if (napi_create_function(object.Env(), name, NAPI_AUTO_LENGTH, method, lock, &function) != napi_ok) break;
    object.Set(name, function);
  }
}

// {pid, tid, threadId, label}
Napi::Object ToObject(Napi::Env env, const ThreadDescription& thread);
// {pid, tid, threadId, label, depth, isLoop} or null
Napi::Value ToValue(Napi::Env env, const std::optional<LockOwner>& owner);
// Memory of ours as an ArrayBuffer; null where there are none (V8 built with pointer compression).
Napi::Value View(Napi::Env env, void* memory, size_t size);

}  // namespace atfork::binding

#endif  // ATFORK_BINDING_LOCK_CALL_H_

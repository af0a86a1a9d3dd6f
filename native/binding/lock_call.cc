// lock_call.cc - what the bindings of locks share; see lock_call.h.
#include "binding/lock_call.h"

namespace atfork::binding {

Napi::Object ToObject(Napi::Env env, const ThreadDescription& thread) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("pid", Napi::Number::New(env, thread.pid));
  object.Set("tid", Napi::Number::New(env, thread.tid));
  object.Set("threadId", Napi::Number::New(env, thread.thread_id));
  object.Set("label", Napi::String::New(env, thread.label));
  return object;
}

Napi::Value ToValue(Napi::Env env, const std::optional<LockOwner>& owner) {
  if (!owner.has_value()) return env.Null();
  Napi::Object result = ToObject(env, owner->thread);
  result.Set("depth", Napi::Number::New(env, owner->depth));
  result.Set("isLoop", Napi::Boolean::New(env, owner->is_loop));
  return result;
}

Napi::Value View(Napi::Env env, void* memory, size_t size) {
  napi_value buffer;
  const napi_status status = napi_create_external_arraybuffer(env, memory, size, nullptr, nullptr, &buffer);
  if (status == napi_ok) return Napi::Value(env, buffer);
  if (env.IsExceptionPending()) env.GetAndClearPendingException();
  return env.Null();
}

}  // namespace atfork::binding

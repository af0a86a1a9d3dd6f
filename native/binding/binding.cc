// binding.cc - what the areas of the binding share.
// Runs in:  any environment, its own thread.
#include "binding/binding.h"

namespace atfork::binding {

Napi::Object ToNativeErrorInfo(Napi::Env env, const Error& error) {
  Napi::Object info = Napi::Object::New(env);
  info.Set("errnum", Napi::Number::New(env, error.errnum));
  info.Set("syscall", Napi::String::New(env, error.syscall));
  info.Set("stage", Napi::String::New(env, error.stage));
  info.Set("code", error.code == nullptr ? env.Null() : Napi::String::New(env, error.code).As<Napi::Value>());
  info.Set("detail", Napi::String::New(env, error.detail));
  return info;
}

}  // namespace atfork::binding

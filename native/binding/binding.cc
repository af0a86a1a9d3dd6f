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

Napi::Object ToThreadInfo(Napi::Env env, const ThreadListing& listing) {
  Napi::Object thread = Napi::Object::New(env);
  thread.Set("tid", Napi::Number::New(env, listing.record.tid));
  thread.Set("name", Napi::String::New(env, listing.record.name));
  thread.Set("kind", Napi::String::New(env, listing.what.kind));
  thread.Set("module", listing.module.empty() ? env.Null() : Napi::String::New(env, listing.module).As<Napi::Value>());
  thread.Set("afterFork", Napi::String::New(env, listing.what.after_fork));
  return thread;
}

}  // namespace atfork::binding

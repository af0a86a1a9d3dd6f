// handle_binding.cc - the handles of the main loop, and what a child gives up of them.
// Runs in:  the main thread.
#include <napi.h>

#include "binding/binding.h"
#include "runtime/inherited_fds.h"

namespace atfork::binding {
namespace {

uv_loop_t* LoopOf(Napi::Env env) {
  uv_loop_t* loop = nullptr;
  return napi_get_uv_event_loop(env, &loop) == napi_ok ? loop : nullptr;
}

// withHandlesReferenced(list) -> what list returns.
Napi::Value WithHandlesReferenced(const Napi::CallbackInfo& info) {
  const runtime::AllHandlesReferenced referenced(LoopOf(info.Env()));
  return info[0].As<Napi::Function>().Call({});
}

// giveUpFds(connections, channels, datagrams, servers, queued) -> a negative errno, or a sum of InheritedHandles.
Napi::Value GiveUpFds(const Napi::CallbackInfo& info) {
  const auto is_set = [&info](size_t index) { return info[index].As<Napi::Boolean>().Value(); };
  const auto given_up = runtime::GiveUpFds(LoopOf(info.Env()), {is_set(0), is_set(1), is_set(2), is_set(3), is_set(4)});
  return Napi::Number::New(info.Env(), given_up ? given_up.value() : -given_up.error().errnum);
}

}  // namespace

void InitHandles(Napi::Env env, Napi::Object exports) {
  exports.Set("withHandlesReferenced", Napi::Function::New(env, WithHandlesReferenced, "withHandlesReferenced"));
  exports.Set("giveUpFds", Napi::Function::New(env, GiveUpFds, "giveUpFds"));
}

}  // namespace atfork::binding

// permit_binding.cc - preventFork and markNotForkSafe for JavaScript (lib/internal/native-permit.ts).
// Runs in:  any environment, its own thread, the parent or a complete child.
#include <napi.h>

#include <string>

#include "binding/binding.h"
#include "posix/process_state.h"

namespace atfork::binding {
namespace {

ForkPermit& Permit() { return GetProcessState()->fork_permit; }

// () -> whether it was entered: this thread is not one that was forked along to be ended
Napi::Value EnterForkless(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), Permit().Enter(&ThisThread()));
}

void LeaveForkless(const Napi::CallbackInfo&) { Permit().Leave(&ThisThread()); }

// (reason)
void MarkNotForkSafe(const Napi::CallbackInfo& info) {
  Permit().MarkNotForkSafe(ThisThread(), info[0].ToString().Utf8Value().c_str());
}

// () -> null or a NativeErrorInfo: why there may be no fork now
Napi::Value CheckForkPermit(const Napi::CallbackInfo& info) {
  const Status permit = Permit().Check(ThisThread());
  return permit ? info.Env().Null() : ToNativeErrorInfo(info.Env(), permit.error()).As<Napi::Value>();
}

}  // namespace

void InitPermit(Napi::Env env, Napi::Object exports) {
  exports.Set("enterForkless", Napi::Function::New(env, EnterForkless, "enterForkless"));
  exports.Set("leaveForkless", Napi::Function::New(env, LeaveForkless, "leaveForkless"));
  exports.Set("markNotForkSafe", Napi::Function::New(env, MarkNotForkSafe, "markNotForkSafe"));
  exports.Set("checkForkPermit", Napi::Function::New(env, CheckForkPermit, "checkForkPermit"));
}

}  // namespace atfork::binding

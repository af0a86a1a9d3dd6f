// addon.cc - module initialisation: one call per area of the binding, nothing else.
// Runs in: every environment that loads the addon (main thread and Workers).
#include <napi.h>

#include "binding/binding.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  // First: beside an incompatible copy of this addon it throws, and then nothing else of this one may run.
  atfork::binding::InitLock(env, exports);
  if (env.IsExceptionPending()) return exports;
  atfork::binding::InitExec(env, exports);
  atfork::binding::InitFork(env, exports);
  atfork::binding::InitHandles(env, exports);
  atfork::binding::InitPermit(env, exports);
  atfork::binding::InitProcess(env, exports);
  atfork::binding::InitRandom(env, exports);
  atfork::binding::InitShared(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(atfork, Init)

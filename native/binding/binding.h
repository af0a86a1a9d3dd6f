// binding.h - what the areas of the JavaScript binding offer to addon.cc, and the helpers that they share.
// The binding turns JavaScript values into plain structs and back. It makes no system calls.
#ifndef ATFORK_BINDING_BINDING_H_
#define ATFORK_BINDING_BINDING_H_

#include <napi.h>

#include "posix/result.h"
#include "posix/thread_census.h"

namespace atfork::binding {

void InitExec(Napi::Env env, Napi::Object exports);
void InitFork(Napi::Env env, Napi::Object exports);
void InitHandles(Napi::Env env, Napi::Object exports);
void InitLock(Napi::Env env, Napi::Object exports);
void InitPermit(Napi::Env env, Napi::Object exports);
void InitProcess(Napi::Env env, Napi::Object exports);
void InitRandom(Napi::Env env, Napi::Object exports);
void InitShared(Napi::Env env, Napi::Object exports);

// {tid, name, kind, module, afterFork}
Napi::Object ToThreadInfo(Napi::Env env, const ThreadListing& listing);

// {errnum, syscall, stage, code, detail}: lib/errors.ts makes the Error of it (NativeErrorInfo there).
Napi::Object ToNativeErrorInfo(Napi::Env env, const Error& error);

}  // namespace atfork::binding

#endif  // ATFORK_BINDING_BINDING_H_

// shared_binding.cc - locks and memory that processes share, for JavaScript (lib/internal/native-shared.ts).
// Runs in:  any environment, its own thread, the parent or a complete child. Arguments were validated by lib/locks.
#include <napi.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <string>

#include "binding/binding.h"
#include "binding/lock_call.h"
#include "posix/process_state.h"
#include "posix/shared_memory.h"
#include "posix/shared_object.h"

namespace atfork::binding {
namespace {

// One environment's use of a lock.
struct Handle {
  SharedLock* lock;
  // Why the last attempt was cancelled; errnum is 0 when it was for no failure.
  Error failure;
  Napi::Reference<Napi::ArrayBuffer> words;
};

using Call = LockCall<Handle>;

// () -> status
napi_value TryAcquire(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->lock->TryAcquire(ThisThread(), &call.lock->failure));
}

// (timeout in ms, () => void) -> status
napi_value Acquire(napi_env env, napi_callback_info info) {
  Call call(env, info);
  return call.Return(call.lock->lock->Acquire(ThisThread(), call.ToPatience(nullptr), &call.lock->failure));
}

napi_value Release(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->lock->Release(ThisThread()));
}

napi_value MakeConsistent(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->lock->MakeConsistent(ThisThread()));
}

// (waited in ms) -> status
napi_value TryAcquireByLoop(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  const auto waited = static_cast<int64_t>(std::ceil(call.Number(0) * 1e6));
  return call.Return(call.lock->lock->TryAcquireByLoop(ThisThread(), waited, &call.lock->failure));
}

napi_value ReleaseByLoop(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->lock->ReleaseByLoop(ThisThread()));
}

napi_value MakeConsistentByLoop(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->lock->MakeConsistentByLoop(ThisThread()));
}

napi_value IsHeldHere(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->lock->IsHeldBy(ThisThread()));
}

napi_value IsHeld(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->lock->IsHeld());
}

napi_value IsOrphaned(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return call.Return(call.lock->lock->IsOrphaned());
}

napi_value Owner(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  return ToValue(env, call.lock->lock->Owner());
}

// () -> NativeErrorInfo or null
napi_value Failure(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  if (call.lock->failure.errnum == 0) return Napi::Env(env).Null();
  return ToNativeErrorInfo(env, std::exchange(call.lock->failure, Error{}));
}

void Close(Handle* handle) {
  if (handle->lock == nullptr) return;
  // Nothing of JavaScript's may lead to memory that is no longer there.
  if (!handle->words.IsEmpty()) {
    Napi::ArrayBuffer words = handle->words.Value();
    if (!words.IsEmpty() && !words.IsDetached()) words.Detach();
    handle->words.Reset();
  }
  GetProcessState()->shared_locks.Close(std::exchange(handle->lock, nullptr), ThisThread());
}

// The collector has found nobody using it, or the environment ends. What this thread still holds it holds on purpose,
// for as long as it lives: a program that acquires a lock once, and keeps no reference. AbandonAll settles it.
void Collect(Napi::Env, Handle* handle) {
  if (handle->lock == nullptr || !handle->lock->IsHeldBy(ThisThread())) Close(handle);
  delete handle;
}

// () -> void: none of the functions is called any more
napi_value Close(napi_env env, napi_callback_info info) {
  const Call call(env, info);
  Close(call.lock);
  return Napi::Env(env).Undefined();
}

Napi::Value ToValue(Napi::Env env, Result<SharedLock*> found) {
  constexpr LockMethod kMethods[] = {
      {"tryAcquire", TryAcquire},
      {"acquire", Acquire},
      {"release", Release},
      {"makeConsistent", MakeConsistent},
      {"tryAcquireByLoop", TryAcquireByLoop},
      {"releaseByLoop", ReleaseByLoop},
      {"makeConsistentByLoop", MakeConsistentByLoop},
      {"isHeldHere", IsHeldHere},
      {"isHeld", IsHeld},
      {"isOrphaned", IsOrphaned},
      {"owner", Owner},
      {"failure", Failure},
      {"close", Close},
  };
  if (!found.ok()) return ToNativeErrorInfo(env, found.error());
  SharedLock* const lock = found.value();
  auto* const handle = new Handle{lock, {}, {}};
  Napi::External<Handle> life = Napi::External<Handle>::New(env, handle, Collect);
  if (life.IsEmpty()) {
    Collect(env, handle);
    return env.Null();
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("life", life);
  SetMethods(object, kMethods, handle);
  object.Set("fd", Napi::Number::New(env, lock->fd()));
  const Napi::Value words = View(env, lock->view(), SharedLock::kViewSize);
  if (words.IsArrayBuffer()) handle->words = Napi::Weak(words.As<Napi::ArrayBuffer>());
  object.Set("words", words);
  // Only the main thread's; see shared_lock.h.
  const ThreadIdentity& self = ThisThread();
  object.Set("identity", self.tid == self.pid ? View(env, lock->main_thread_view(), 2 * sizeof(uint32_t)) : env.Null());
  return object;
}

// (name or null, whether the tracker is told) -> lock or NativeErrorInfo
Napi::Value Create(const Napi::CallbackInfo& info) {
  SharedLocks& locks = GetProcessState()->shared_locks;
  if (info[0].IsNull()) return ToValue(info.Env(), locks.CreateAnonymous());
  return ToValue(info.Env(), locks.Create(info[0].As<Napi::String>(), info[1].As<Napi::Boolean>()));
}

// (name or descriptor) -> lock or NativeErrorInfo
Napi::Value Open(const Napi::CallbackInfo& info) {
  SharedLocks& locks = GetProcessState()->shared_locks;
  if (info[0].IsNumber()) return ToValue(info.Env(), locks.OpenFd(info[0].As<Napi::Number>().Int32Value()));
  return ToValue(info.Env(), locks.Open(info[0].As<Napi::String>()));
}

// (name) -> undefined or NativeErrorInfo
Napi::Value Unlink(const Napi::CallbackInfo& info) {
  const Status done = GetProcessState()->shared_locks.Unlink(info[0].As<Napi::String>());
  if (!done.ok()) return ToNativeErrorInfo(info.Env(), done.error());
  return info.Env().Undefined();
}

// (path, inode) -> whether no process uses it
Napi::Value UnlinkUnused(const Napi::CallbackInfo& info) {
  const auto inode = static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value());
  return Napi::Boolean::New(info.Env(), atfork::UnlinkUnused(info[0].As<Napi::String>(), inode));
}

// () -> descriptor, -1 or NativeErrorInfo
Napi::Value OpenTracker(const Napi::CallbackInfo& info) {
  const auto end = GetProcessState()->shared_locks.OpenTracker();
  if (!end.ok()) return ToNativeErrorInfo(info.Env(), end.error());
  return Napi::Number::New(info.Env(), end.value());
}

// (name, inode) -> void
void TellTracker(const Napi::CallbackInfo& info) {
  const auto inode = static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value());
  GetProcessState()->shared_locks.TellTracker(info[0].As<Napi::String>(), inode);
}

// (address) -> void
void DisownShared(const Napi::CallbackInfo& info) {
  const auto address = static_cast<uintptr_t>(info[0].As<Napi::Number>().Int64Value());
  GetProcessState()->shared_memory.Disown(reinterpret_cast<void*>(address));
}

// (bytes) -> {memory, address} or NativeErrorInfo; null where V8 has none of memory that is not its own
Napi::Value MapShared(const Napi::CallbackInfo& info) {
  const auto size = static_cast<size_t>(info[0].As<Napi::Number>().Int64Value());
  SharedMemory& memories = GetProcessState()->shared_memory;
  const auto memory = memories.Map(size, ThisThread());
  if (!memory.ok()) return ToNativeErrorInfo(info.Env(), memory.error());
  const auto unmap = [](napi_env, void* unused, void* hint) {
    GetProcessState()->shared_memory.Unmap(unused, reinterpret_cast<size_t>(hint));
  };
  napi_value buffer;
  const napi_status status =
      napi_create_external_arraybuffer(info.Env(), memory.value(), size, unmap, reinterpret_cast<void*>(size), &buffer);
  if (status == napi_ok) {
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("memory", Napi::Value(info.Env(), buffer));
    result.Set("address",
               Napi::Number::New(info.Env(), static_cast<double>(reinterpret_cast<uintptr_t>(memory.value()))));
    return result;
  }
  memories.Unmap(memory.value(), size);
  if (info.Env().IsExceptionPending()) info.Env().GetAndClearPendingException();
  return info.Env().Null();
}

// The word at `info[1]` of the Int32Array `info[0]`.
std::atomic<uint32_t>* WordOf(const Napi::CallbackInfo& info) {
  int32_t* const words = info[0].As<Napi::Int32Array>().Data();
  return reinterpret_cast<std::atomic<uint32_t>*>(words + info[1].As<Napi::Number>().Uint32Value());
}

// (words, index, value, deadline in ms, () => void) -> 0: woken; 1: it is another value; 2: the time is over; 3: this
// environment is to end
Napi::Value Wait(const Napi::CallbackInfo& info) {
  std::atomic<uint32_t>* const word = WordOf(info);
  const auto value = static_cast<uint32_t>(info[2].As<Napi::Number>().Int32Value());
  const int64_t deadline = DeadlineAfterMs(info[3].As<Napi::Number>().DoubleValue());
  int result = 1;
  while (word->load() == value) {
    const int64_t nap_ends = MonotonicNanos() + Lock::kNap;
    if (FutexWait(word, value, deadline < nap_ends ? deadline : nap_ends, FutexScope::kShared)) {
      result = 0;
      break;
    }
    if (deadline <= nap_ends) {
      result = 2;
      break;
    }
    napi_value undefined;
    if (napi_call_function(info.Env(), info.Env().Undefined(), info[4], 0, nullptr, &undefined) != napi_ok) {
      result = 3;
      break;
    }
  }
  return Napi::Number::New(info.Env(), result);
}

// (words, index, count) -> how many were woken
Napi::Value Notify(const Napi::CallbackInfo& info) {
  const int woken = FutexWake(WordOf(info), info[2].As<Napi::Number>().Int32Value(), FutexScope::kShared);
  return Napi::Number::New(info.Env(), woken);
}

}  // namespace

void InitShared(Napi::Env env, Napi::Object exports) {
  exports.Set("createSharedLock", Napi::Function::New(env, Create));
  exports.Set("openSharedLock", Napi::Function::New(env, Open));
  exports.Set("unlinkSharedLock", Napi::Function::New(env, Unlink));
  exports.Set("unlinkUnused", Napi::Function::New(env, UnlinkUnused));
  exports.Set("openTracker", Napi::Function::New(env, OpenTracker));
  exports.Set("closeTracker", Napi::Function::New(env, [](const Napi::CallbackInfo&) {
                GetProcessState()->shared_locks.CloseTracker();
              }));
  exports.Set("tellTracker", Napi::Function::New(env, TellTracker));
  exports.Set("sharedMemory", Napi::Function::New(env, MapShared));
  exports.Set("disownSharedMemory", Napi::Function::New(env, DisownShared));
  exports.Set("futexWait", Napi::Function::New(env, Wait));
  exports.Set("futexNotify", Napi::Function::New(env, Notify));
}

}  // namespace atfork::binding

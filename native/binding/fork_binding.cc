// fork_binding.cc - fork(), the ending of Workers in the child, and what the platform can do.
// Runs in:  the main thread, but for InitFork, which runs in every environment.
#include <napi.h>

#include "binding/binding.h"
#include "runtime/fork.h"
#include "runtime/loop_fds.h"
#include "runtime/runtime_threads.h"
#include "runtime/thread_roles.h"
#include "runtime/worker_aborts.h"

namespace atfork::binding {
namespace {

// fork(lockTimeoutMs, quiesceTimeoutMs, copySharedMappings) -> pid or a NativeErrorInfo. In the parent each object that
// is made, and each name that is looked up, is one more page that was shared with the child a moment ago.
Napi::Value Fork(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return env.Undefined();
  const runtime::ForkOptions options = {info[0].As<Napi::Number>().DoubleValue(),
                                        info[1].As<Napi::Number>().DoubleValue(), info[2].As<Napi::Boolean>().Value()};
  Result<pid_t> pid = runtime::Fork(loop, options);
  if (!pid) return ToNativeErrorInfo(env, pid.error());
  return Napi::Number::New(env, pid.value());
}

// getpid() -> number. process.pid is what it was before the fork.
Napi::Value Getpid(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), runtime::OwnPid()); }

Napi::Value HasWorkersToEnd(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), runtime::HasWorkersToEnd());
}

// lastForkTimings() -> {lockUs, quiesceUs, forkUs, releaseUs}.
Napi::Value LastForkTimings(const Napi::CallbackInfo& info) {
  const runtime::ForkTimings timings = runtime::LastForkTimings();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("lockUs", timings.lock);
  result.Set("quiesceUs", timings.quiesce);
  result.Set("forkUs", timings.fork);
  result.Set("releaseUs", timings.release);
  return result;
}

// listenToAborts(fn): calls fn on the main thread whenever a Worker that came along has been ended by an abort(3).
void ListenToAborts(const Napi::CallbackInfo& info) {
  // Process-wide, of one child; its child makes another.
  static Napi::ThreadSafeFunction listener;
  listener = Napi::ThreadSafeFunction::New(info.Env(), info[0].As<Napi::Function>(), "atfork.aborts", 0, 1);
  listener.Unref(info.Env());
  runtime::ListenToAborts([] { listener.NonBlockingCall(); });
}

Napi::Value AbortedWorkers(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), runtime::AbortedWorkers());
}

void ReleaseWorkers(const Napi::CallbackInfo&) { runtime::ReleaseHeldWorkers(); }

void LearnWorkerRoutine(const Napi::CallbackInfo& info) {
  runtime::LearnWorkerRoutineFromLastStart(info[0].As<Napi::Boolean>().Value());
}

Napi::Value KeepEarliestWorker(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), runtime::KeepEarliestWorker());
}

Napi::Value EventLoops(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), runtime::EventLoops()); }

// loadFork(isMainThread) -> null or a NativeErrorInfo: why fork() cannot be offered.
Napi::Value LoadFork(const Napi::CallbackInfo& info) {
  if (!info[0].As<Napi::Boolean>().Value()) {
    runtime::LearnWorkerRoutineFromThisThread();
    return info.Env().Null();
  }
  Status loaded = runtime::LoadFork();
  return loaded ? info.Env().Null() : ToNativeErrorInfo(info.Env(), loaded.error()).As<Napi::Value>();
}

}  // namespace

void InitFork(Napi::Env env, Napi::Object exports) {
  exports.Set("fork", Napi::Function::New(env, Fork, "fork"));
  exports.Set("getpid", Napi::Function::New(env, Getpid, "getpid"));
  exports.Set("hasWorkersToEnd", Napi::Function::New(env, HasWorkersToEnd, "hasWorkersToEnd"));
  exports.Set("lastForkTimings", Napi::Function::New(env, LastForkTimings, "lastForkTimings"));
  exports.Set("loadFork", Napi::Function::New(env, LoadFork, "loadFork"));
  exports.Set("listenToAborts", Napi::Function::New(env, ListenToAborts, "listenToAborts"));
  exports.Set("abortedWorkers", Napi::Function::New(env, AbortedWorkers, "abortedWorkers"));
  exports.Set("releaseWorkers", Napi::Function::New(env, ReleaseWorkers, "releaseWorkers"));
  exports.Set("eventLoops", Napi::Function::New(env, EventLoops, "eventLoops"));
  exports.Set("keepEarliestWorker", Napi::Function::New(env, KeepEarliestWorker, "keepEarliestWorker"));
  exports.Set("learnWorkerRoutine", Napi::Function::New(env, LearnWorkerRoutine, "learnWorkerRoutine"));
}

}  // namespace atfork::binding

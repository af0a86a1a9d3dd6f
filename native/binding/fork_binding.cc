// fork_binding.cc - fork(), the ending of Workers in the child, and what the platform can do.
// Runs in:  the main thread, but for InitFork, which runs in every environment.
#include <napi.h>

#include <optional>
#include <string>

#include "binding/binding.h"
#include "runtime/fork.h"
#include "runtime/loop_batch.h"
#include "runtime/loop_fds.h"
#include "runtime/profile_files.h"
#include "runtime/runtime_threads.h"
#include "runtime/thread_kinds.h"
#include "runtime/thread_roles.h"
#include "runtime/worker_aborts.h"

namespace atfork::binding {
namespace {

// Bits of NativeFork.fork's `lostThreads` (lib/internal/native-fork.ts).
constexpr uint32_t kLook = 1;
constexpr uint32_t kRefuse = 2;
constexpr uint32_t kCountAll = 4;

// {kind, module, name}, each a string or undefined.
runtime::ThreadPattern ToThreadPattern(const Napi::Object& object) {
  const auto text = [&object](const char* key) -> std::optional<std::string> {
    const Napi::Value value = object.Get(key);
    if (!value.IsString()) return std::nullopt;
    return value.As<Napi::String>().Utf8Value();
  };
  return {text("kind"), text("module"), text("name")};
}

// (bits, patterns or undefined)
runtime::LostThreadsOptions ToLostThreadsOptions(const Napi::Value& bits, const Napi::Value& patterns) {
  const uint32_t flags = bits.As<Napi::Number>().Uint32Value();
  runtime::LostThreadsOptions options;
  options.look = (flags & kLook) != 0;
  options.refuse = (flags & kRefuse) != 0;
  options.count_all = (flags & kCountAll) != 0;
  if (!patterns.IsArray()) return options;
  const auto array = patterns.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    options.allowed.push_back(ToThreadPattern(array.Get(i).As<Napi::Object>()));
  }
  return options;
}

// Values of NativeFork.fork's `pendingWork`, in order.
runtime::PendingWork ToPendingWork(const Napi::Value& value) {
  constexpr runtime::PendingWork kValues[] = {runtime::PendingWork::kIgnore, runtime::PendingWork::kRefuse,
                                              runtime::PendingWork::kWait};
  return kValues[value.As<Napi::Number>().Uint32Value()];
}

// fork(lockTimeoutMs, quiesceTimeoutMs, copySharedMappings, pendingWork, lostThreads, allowed) -> pid, negative where
// threads were lost, or a NativeErrorInfo. In the parent each object that is made, and each name that is looked up, is
// one more page that was shared with the child a moment ago.
Napi::Value Fork(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return env.Undefined();
  const runtime::ForkOptions options = {info[0].As<Napi::Number>().DoubleValue(),
                                        info[1].As<Napi::Number>().DoubleValue(), info[2].As<Napi::Boolean>().Value(),
                                        ToPendingWork(info[3]), ToLostThreadsOptions(info[4], info[5])};
  Result<pid_t> pid = runtime::Fork(loop, options);
  if (!pid) return ToNativeErrorInfo(env, pid.error());
  return Napi::Number::New(env, runtime::LostThreads().empty() ? pid.value() : -pid.value());
}

// poolWork() -> what a thread of libuv's pool does, '' for none, or a NativeErrorInfo.
Napi::Value PoolWork(const Napi::CallbackInfo& info) {
  const Result<std::string> work = runtime::PoolWork();
  if (!work) return ToNativeErrorInfo(info.Env(), work.error());
  return Napi::String::New(info.Env(), work.value());
}

// lostThreads() -> null, or [{tid, name, kind, module, afterFork}].
Napi::Value LostThreads(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (runtime::LostThreads().empty()) return env.Null();
  Napi::Array result = Napi::Array::New(env);
  for (const ThreadListing& thread : runtime::LostThreads()) {
    result.Set(result.Length(), ToThreadInfo(env, thread));
  }
  return result;
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
  // Where this fails, so does what fork() needs, which says why.
  Status kinds = runtime::LoadThreadKinds();
  if (!info[0].As<Napi::Boolean>().Value()) {
    if (kinds) runtime::LearnWorkerRoutineFromThisThread();
    return info.Env().Null();
  }
  Status loaded = runtime::LoadFork();
  uv_loop_t* loop = nullptr;
  if (loaded && napi_get_uv_event_loop(info.Env(), &loop) == napi_ok) loaded = runtime::WatchDeliveries(loop);
  return loaded ? info.Env().Null() : ToNativeErrorInfo(info.Env(), loaded.error()).As<Napi::Value>();
}

// watchProfileFiles(names) -> null or a NativeErrorInfo.
Napi::Value WatchProfileFiles(const Napi::CallbackInfo& info) {
  const auto array = info[0].As<Napi::Array>();
  std::vector<std::string> names;
  for (uint32_t i = 0; i < array.Length(); ++i) names.push_back(array.Get(i).As<Napi::String>());
  Status watched = runtime::WatchProfileFiles(std::move(names));
  return watched ? info.Env().Null() : ToNativeErrorInfo(info.Env(), watched.error()).As<Napi::Value>();
}

}  // namespace

void InitFork(Napi::Env env, Napi::Object exports) {
  exports.Set("fork", Napi::Function::New(env, Fork, "fork"));
  exports.Set("getpid", Napi::Function::New(env, Getpid, "getpid"));
  exports.Set("hasWorkersToEnd", Napi::Function::New(env, HasWorkersToEnd, "hasWorkersToEnd"));
  exports.Set("lastForkTimings", Napi::Function::New(env, LastForkTimings, "lastForkTimings"));
  exports.Set("loadFork", Napi::Function::New(env, LoadFork, "loadFork"));
  exports.Set("lostThreads", Napi::Function::New(env, LostThreads, "lostThreads"));
  exports.Set("poolWork", Napi::Function::New(env, PoolWork, "poolWork"));
  exports.Set("listenToAborts", Napi::Function::New(env, ListenToAborts, "listenToAborts"));
  exports.Set("abortedWorkers", Napi::Function::New(env, AbortedWorkers, "abortedWorkers"));
  exports.Set("watchProfileFiles", Napi::Function::New(env, WatchProfileFiles, "watchProfileFiles"));
  exports.Set("releaseWorkers", Napi::Function::New(env, ReleaseWorkers, "releaseWorkers"));
  exports.Set("eventLoops", Napi::Function::New(env, EventLoops, "eventLoops"));
  exports.Set("keepEarliestWorker", Napi::Function::New(env, KeepEarliestWorker, "keepEarliestWorker"));
  exports.Set("learnWorkerRoutine", Napi::Function::New(env, LearnWorkerRoutine, "learnWorkerRoutine"));
}

}  // namespace atfork::binding

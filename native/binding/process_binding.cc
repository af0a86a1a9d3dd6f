// process_binding.cc - waitpid, _exit, execve and threads for JavaScript (lib/internal/native-process.ts).
// Runs in:  any environment, its own thread, the parent or a complete child.
// Arguments were validated by lib/process; a failure of the system is returned, not thrown, as NativeErrorInfo.
#include <napi.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "binding/binding.h"
#include "posix/exec.h"
#include "posix/exit.h"
#include "posix/thread_census.h"
#include "posix/wait.h"
#include "runtime/runtime_threads.h"

namespace atfork::binding {
namespace {

// Milliseconds; more than 31 years, Infinity included, is no limit at all.
std::optional<std::chrono::nanoseconds> ToTimeout(double ms) {
  constexpr double kLongestMs = 1e12;
  if (!(ms < kLongestMs)) return std::nullopt;
  return std::chrono::nanoseconds(static_cast<int64_t>(ms * 1e6));
}

std::vector<std::string> ToStrings(const Napi::Array& array) {
  std::vector<std::string> strings;
  strings.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) strings.push_back(array.Get(i).ToString().Utf8Value());
  return strings;
}

// (pid, timeout in ms) -> {code, signaled, coreDumped}, null while it runs, or NativeErrorInfo
Napi::Value Waitpid(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto pid = static_cast<pid_t>(info[0].ToNumber().Int32Value());
  const auto outcome = WaitForChild(pid, ToTimeout(info[1].ToNumber().DoubleValue()));
  if (!outcome.ok()) return ToNativeErrorInfo(env, outcome.error());
  if (!outcome.value().has_value()) return env.Null();
  const WaitStatus& status = *outcome.value();
  Napi::Object result = Napi::Object::New(env);
  result.Set("code", Napi::Number::New(env, status.code));
  result.Set("signaled", Napi::Boolean::New(env, status.signaled));
  result.Set("coreDumped", Napi::Boolean::New(env, status.core_dumped));
  return result;
}

// (code) -> never
void Exit(const Napi::CallbackInfo& info) { ExitNow(info[0].ToNumber().Int32Value()); }

// (file, args, env) -> NativeErrorInfo, if it returns
Napi::Value Execve(const Napi::CallbackInfo& info) {
  const Error error = ExecInPlace(info[0].ToString().Utf8Value(), ToStrings(info[1].As<Napi::Array>()),
                                  ToStrings(info[2].As<Napi::Array>()));
  return ToNativeErrorInfo(info.Env(), error);
}

// () -> [{tid, name, kind, module, afterFork}] or NativeErrorInfo
Napi::Value Threads(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  runtime::AwaitRestartedThreads();
  const auto listings = ListThreads();
  if (!listings.ok()) return ToNativeErrorInfo(env, listings.error());
  Napi::Array result = Napi::Array::New(env);
  for (const ThreadListing& listing : listings.value()) {
    result.Set(result.Length(), ToThreadInfo(env, listing));
  }
  return result;
}

}  // namespace

void InitProcess(Napi::Env env, Napi::Object exports) {
  exports.Set("waitpid", Napi::Function::New(env, Waitpid, "waitpid"));
  exports.Set("exit", Napi::Function::New(env, Exit, "exit"));
  exports.Set("execve", Napi::Function::New(env, Execve, "execve"));
  exports.Set("threads", Napi::Function::New(env, Threads, "threads"));
  exports.Set("sigRtMin", Napi::Number::New(env, FirstRealTimeSignal()));
}

}  // namespace atfork::binding

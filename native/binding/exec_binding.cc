// exec_binding.cc - forkExec for JavaScript (lib/internal/native-exec.ts).
// Runs in:  any environment, its own thread, the parent or a complete child.
// Arguments were validated by lib/process; a failure of the system is returned, not thrown, as NativeErrorInfo.
#include <napi.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "binding/binding.h"
#include "binding/child_watches.h"
#include "posix/child_end.h"
#include "posix/fork_exec.h"
#include "posix/program_output.h"
#include "posix/user_database.h"
#include "posix/wait.h"

namespace atfork::binding {
namespace {

// Of a string in which each ends with a null byte: one call of N-API instead of two for each.
std::vector<std::string> ToStrings(const Napi::Value& value) {
  const std::string all = value.As<Napi::String>().Utf8Value();
  std::vector<std::string> strings;
  for (size_t begin = 0, end; (end = all.find('\0', begin)) != std::string::npos; begin = end + 1) {
    strings.push_back(all.substr(begin, end - begin));
  }
  return strings;
}

template <typename T>
std::vector<T> ToNumbers(const Napi::Value& value) {
  const auto array = value.As<Napi::Array>();
  std::vector<T> numbers;
  numbers.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    numbers.push_back(static_cast<T>(array.Get(i).As<Napi::Number>().Int64Value()));
  }
  return numbers;
}

// Of an Int32Array, or of nothing: one call of N-API instead of two for each.
std::vector<int> ToInts(const Napi::Value& value) {
  if (!value.IsTypedArray()) return {};
  const auto ints = value.As<Napi::Int32Array>();
  return {ints.Data(), ints.Data() + ints.ElementLength()};
}

// The options that are there: all others stay as they are by default.
class Reader {
 public:
  explicit Reader(const Napi::Value& options) : options_(options.As<Napi::Object>()) {}

  Napi::Value operator[](const char* name) const { return options_.Get(name); }

  template <typename T>
  void Number(const char* name, T* to) const {
    const Napi::Value value = options_.Get(name);
    if (value.IsNumber()) *to = static_cast<typename Plain<T>::Type>(value.As<Napi::Number>().Int64Value());
  }
  void Boolean(const char* name, bool* to) const {
    const Napi::Value value = options_.Get(name);
    if (value.IsBoolean()) *to = value.As<Napi::Boolean>().Value();
  }
  void String(const char* name, std::optional<std::string>* to) const {
    const Napi::Value value = options_.Get(name);
    if (value.IsString()) *to = value.As<Napi::String>().Utf8Value();
  }
  bool Has(const char* name) const { return options_.Get(name).IsArray(); }

 private:
  template <typename T>
  struct Plain {
    using Type = T;
  };
  template <typename T>
  struct Plain<std::optional<T>> {
    using Type = T;
  };
  const Napi::Object options_;
};

// By how much the frames of NoteStack and StartProgram may differ.
constexpr uintptr_t kStackOfNote = 4096;

// Bits of NativeExecRequest.flags.
constexpr uint32_t kCloseFds = 1;
constexpr uint32_t kRestoreSignals = 2;
constexpr uint32_t kSetsid = 4;
constexpr uint32_t kNoNewPrivs = 8;
constexpr uint32_t kMayKeepGroups = 16;

void ReadRest(const Napi::Value& rest, ExecOptions* to) {
  const Reader from(rest);
  if (from.Has("sigmask")) {
    to->signal_mask = 0;
    for (const int signal : ToNumbers<int>(from["sigmask"])) *to->signal_mask |= uint64_t{1} << (signal - 1);
  }
  from.Number("processGroup", &to->pgid);
  from.Number("controllingTerminal", &to->terminal);
  from.Number("foreground", &to->foreground);
  from.Number("umask", &to->umask);
  if (from.Has("rlimits")) {
    const auto limits = ToNumbers<int64_t>(from["rlimits"]);  // three for each; -1: none
    for (size_t i = 0; i + 2 < limits.size(); i += 3) {
      to->limits.push_back(
          {static_cast<int>(limits[i]), static_cast<uint64_t>(limits[i + 1]), static_cast<uint64_t>(limits[i + 2])});
    }
  }
  from.Number("nice", &to->nice);
  if (from.Has("affinity")) to->affinity = ToNumbers<uint8_t>(from["affinity"]);
  from.String("chroot", &to->chroot);
  from.String("cwd", &to->cwd);
  if (from.Has("extraGroups")) to->groups = ToNumbers<gid_t>(from["extraGroups"]);
  from.Number("gid", &to->gid);
  from.Number("uid", &to->uid);
  from.Number("parentDeathSignal", &to->parent_death_signal);
}

// (file, args, env, stdio, passFds, flags, rest)
ExecOptions ToExecOptions(const Napi::CallbackInfo& info) {
  ExecOptions to;
  to.file = info[0].As<Napi::String>().Utf8Value();
  to.args = ToStrings(info[1]);
  if (info[2].IsString()) to.env = ToStrings(info[2]);
  const auto stdio = ToInts(info[3]);  // two for each: its kind, its descriptor
  for (size_t i = 0; i + 1 < stdio.size(); i += 2)
    to.stdio.push_back({static_cast<Stdio::Kind>(stdio[i]), stdio[i + 1]});
  to.passed_fds = ToInts(info[4]);
  const uint32_t flags = info[5].As<Napi::Number>().Uint32Value();
  to.close_fds = (flags & kCloseFds) != 0;
  to.restore_signals = (flags & kRestoreSignals) != 0;
  to.setsid = (flags & kSetsid) != 0;
  to.no_new_privs = (flags & kNoNewPrivs) != 0;
  to.may_keep_groups = (flags & kMayKeepGroups) != 0;
  if (info[6].IsObject()) ReadRest(info[6], &to);
  return to;
}

ExecMeans ToMeans(const Napi::Value& value) {
  ExecMeans means;
  if (!value.IsObject()) return means;
  const Reader from(value);
  from.Boolean("vfork", &means.vfork);
  from.Boolean("pidfd", &means.pidfd);
  from.Boolean("closeRange", &means.close_range);
  from.Boolean("proc", &means.proc);
  return means;
}

// How deep the stack of this thread may be, as far as is known: it grows downwards. JavaScript says so from time to
// time.
thread_local uintptr_t deepest = UINTPTR_MAX;

uintptr_t StackPointer() { return reinterpret_cast<uintptr_t>(__builtin_frame_address(0)); }

// () : where this is called from there is stack enough for whatever JavaScript does after a start
void NoteStack(const Napi::CallbackInfo&) { deepest = std::min(deepest, StackPointer()); }

// (file, args, env, stdio, passFds, flags, rest, means) -> [watch, pid, pidfd, ...stdio], NativeErrorInfo, or null: it
// is not known whether there is stack enough, so nothing has been done
Napi::Value StartProgram(const Napi::CallbackInfo& info, ChildWatches* watches) {
  const Napi::Env env = info.Env();
  if (StackPointer() < deepest - kStackOfNote) return env.Null();
  ExecOptions options = ToExecOptions(info);
  const ExecMeans means = ToMeans(info[7]);
  if (env.IsExceptionPending()) return env.Undefined();  // something was not what lib/process had made of it
  Result<StartedChild> started = ForkExec(std::move(options), means);
  if (!started) return ToNativeErrorInfo(env, started.error());
  StartedChild& child = started.value();
  const int pidfd = child.pidfd.get();
  Result<uint32_t> watch = watches->BeginOrKill(child.pid, std::move(child.pidfd));
  if (!watch) return ToNativeErrorInfo(env, watch.error());
  Napi::Array result = Napi::Array::New(env, 3 + child.stdio.size());
  result.Set(0u, watch.value());
  result.Set(1u, child.pid);
  result.Set(2u, pidfd);
  for (uint32_t i = 0; i < child.stdio.size(); ++i) result.Set(3 + i, child.stdio[i].release());
  return result;
}

// A string, in UTF-8, or the bytes of a view.
std::string ToBytes(const Napi::Value& value) {
  if (value.IsString()) return value.As<Napi::String>().Utf8Value();
  const auto bytes = value.As<Napi::Uint8Array>();
  return {reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength()};
}

// (file, args, env, stdio, passFds, flags, rest, means, input, timeoutMs, killSignal, graceMs, maxBuffer,
// maxBufferOfAll)
// -> {pid, output, code, signaled, coreDumped, usage, timedOut, overflowed}, or NativeErrorInfo
Napi::Value RunProgram(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string input = ToBytes(info[8]);
  ProgramLimits limits;
  limits.timeout_ms = info[9].As<Napi::Number>().DoubleValue();
  limits.kill_signal = info[10].As<Napi::Number>().Int32Value();
  limits.grace_ms = info[11].As<Napi::Number>().DoubleValue();
  const double max_buffer = info[12].As<Napi::Number>().DoubleValue();
  if (std::isfinite(max_buffer)) limits.max_buffer = static_cast<uint64_t>(max_buffer);
  limits.max_buffer_of_all = info[13].As<Napi::Boolean>().Value();
  ExecOptions options = ToExecOptions(info);
  const ExecMeans means = ToMeans(info[7]);
  if (env.IsExceptionPending()) return env.Undefined();
  Result<StartedChild> started = ForkExec(std::move(options), means);
  if (!started) return ToNativeErrorInfo(env, started.error());
  const pid_t pid = started.value().pid;
  Result<ProgramOutput> ended = GatherOutput(std::move(started.value()), input, limits);
  if (!ended) return ToNativeErrorInfo(env, ended.error());
  const ProgramOutput& gathered = ended.value();
  Napi::Object result = ToChildEnd(env, gathered.end);
  result.Set("pid", pid);
  result.Set("timedOut", gathered.timed_out);
  result.Set("overflowed", gathered.overflowed);
  Napi::Array output = Napi::Array::New(env);
  for (const std::optional<std::string>& each : gathered.output) {
    output.Set(output.Length(),
               each ? Napi::Buffer<char>::Copy(env, each->data(), each->size()).As<Napi::Value>() : env.Null());
  }
  result.Set("output", output);
  return result;
}

// (pid) -> a descriptor, or -1
Napi::Value OpenPidfdOf(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), OpenPidfd(info[0].As<Napi::Number>().Int32Value()));
}

// () -> a socket whose peer is gone, or -1
Napi::Value LonelySocket(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), OpenLonelySocket()); }

// (pid) -> whether it is there for this process to wait for
Napi::Value IsChildOf(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), IsChild(info[0].As<Napi::Number>().Int32Value()));
}

Napi::Value HasDuplicates(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), HasDuplicatesInEnvironment());
}

// (name) -> its id, or -1
template <typename Id, std::optional<Id> (*Find)(const char*)>
Napi::Value IdOf(const Napi::CallbackInfo& info) {
  const std::optional<Id> id = Find(info[0].As<Napi::String>().Utf8Value().c_str());
  return Napi::Number::New(info.Env(), id ? static_cast<double>(*id) : -1);
}

}  // namespace

void InitExec(Napi::Env env, Napi::Object exports) {
  ChildWatches* const watches = ChildWatches::Install(env, exports);
  const auto start_program = [watches](const Napi::CallbackInfo& info) { return StartProgram(info, watches); };
  exports.Set("startProgram", Napi::Function::New(env, start_program, "startProgram"));
  exports.Set("noteStack", Napi::Function::New(env, NoteStack, "noteStack"));
  exports.Set("runProgram", Napi::Function::New(env, RunProgram, "runProgram"));
  exports.Set("hasDuplicatesInEnvironment", Napi::Function::New(env, HasDuplicates, "hasDuplicatesInEnvironment"));
  exports.Set("openPidfd", Napi::Function::New(env, OpenPidfdOf, "openPidfd"));
  exports.Set("lonelySocket", Napi::Function::New(env, LonelySocket, "lonelySocket"));
  exports.Set("isChild", Napi::Function::New(env, IsChildOf, "isChild"));
  exports.Set("userId", Napi::Function::New(env, IdOf<uid_t, UserId>, "userId"));
  exports.Set("groupId", Napi::Function::New(env, IdOf<gid_t, GroupId>, "groupId"));
}

}  // namespace atfork::binding

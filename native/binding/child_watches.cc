// child_watches.cc - the children whose end an environment's event loop waits for; see child_watches.h.
// Runs in:  the environment's own thread: from JavaScript, from its loop when a child may have ended, at its end.
// Calls:    what JavaScript has given for that, when a child may have ended.
#include "binding/child_watches.h"

#include <utility>

#include "binding/binding.h"

namespace atfork::binding {
namespace {

// Of rusage what Linux fills in, in the order of lib/internal/native-exec.ts.
Napi::Value ToUsage(Napi::Env env, const rusage& usage) {
  const auto us = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  const double values[] = {us(usage.ru_utime),
                           us(usage.ru_stime),
                           static_cast<double>(usage.ru_maxrss),
                           static_cast<double>(usage.ru_minflt),
                           static_cast<double>(usage.ru_majflt),
                           static_cast<double>(usage.ru_inblock),
                           static_cast<double>(usage.ru_oublock),
                           static_cast<double>(usage.ru_nvcsw),
                           static_cast<double>(usage.ru_nivcsw)};
  Napi::Array array = Napi::Array::New(env);
  for (const double value : values) array.Set(array.Length(), value);
  return array;
}

}  // namespace

Napi::Object ToChildEnd(Napi::Env env, const ChildEnd& end) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("code", end.status.code);
  result.Set("signaled", end.status.signaled);
  result.Set("coreDumped", end.status.core_dumped);
  result.Set("usage", ToUsage(env, end.usage));
  return result;
}

ChildWatches::ChildWatches(Napi::Env env, uv_loop_t* loop)
    : env_(env),
      ends_(
          loop, [](void* self, uint32_t id) { static_cast<ChildWatches*>(self)->Look(id); }, this) {}

ChildWatches* ChildWatches::Install(Napi::Env env, Napi::Object exports) {
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  auto* const self = new ChildWatches(env, loop);
  Napi::Object watches = Napi::Object::New(env);
  // (on_end)
  watches.Set("onEnd", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
                self->on_end_ = Napi::Persistent(info[0].As<Napi::Function>());
              }));
  // (pid, pidfd) -> id, or NativeErrorInfo
  watches.Set("begin", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) -> Napi::Value {
                UniqueFd pidfd(info[1].As<Napi::Number>().Int32Value());
                const auto id = self->Begin(info[0].As<Napi::Number>().Int32Value(), std::move(pidfd));
                if (!id) return ToNativeErrorInfo(info.Env(), id.error());
                return Napi::Number::New(info.Env(), id.value());
              }));
  // (id) -> {code, signaled, coreDumped, usage}, null while it runs, or NativeErrorInfo
  watches.Set("reap", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) -> Napi::Value {
                const Watch* const watch = self->Find(info);
                const auto reaped = ReapChild(watch->child.pid, watch->pidfd.get());
                if (!reaped) return ToNativeErrorInfo(info.Env(), reaped.error());
                if (!reaped.value().has_value()) return info.Env().Null();
                return ToChildEnd(info.Env(), *reaped.value());
              }));
  // (id, signal) -> 0 or an errno
  watches.Set("signal", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
                const Watch* const watch = self->Find(info);
                const int signal = info[1].As<Napi::Number>().Int32Value();
                return Napi::Number::New(info.Env(), SignalChild(watch->child.pid, watch->pidfd.get(), signal));
              }));
  watches.Set("keepAlive", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
                self->ends_.KeepAlive(info[0].As<Napi::Number>().Uint32Value(), info[1].As<Napi::Boolean>().Value());
              }));
  watches.Set("listen", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
                self->ends_.Listen(info[0].As<Napi::Number>().Uint32Value(), info[1].As<Napi::Boolean>().Value());
              }));
  watches.Set("end", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
                self->End(info[0].As<Napi::Number>().Uint32Value());
              }));
  exports.Set("childWatches", watches);
  const auto on_exit = [](napi_async_cleanup_hook_handle hook, void* arg) {
    auto* const all = static_cast<ChildWatches*>(arg);
    all->hook_ = hook;
    all->LeaveAll();
    const auto leave = [](void* closed) {
      napi_remove_async_cleanup_hook(static_cast<ChildWatches*>(closed)->hook_);
      delete static_cast<ChildWatches*>(closed);
    };
    all->ends_.Close(leave, all);
  };
  napi_add_async_cleanup_hook(env, on_exit, self, nullptr);
  return self;
}

Result<uint32_t> ChildWatches::BeginOrKill(pid_t pid, UniqueFd pidfd) {
  Result<uint32_t> id = Begin(pid, std::move(pidfd));
  if (!id) KillAndReap(pid, -1);  // nobody could hear of its end
  return id;
}

Result<uint32_t> ChildWatches::Begin(pid_t pid, UniqueFd pidfd) {
  do {
    ++last_id_;
  } while (watches_.count(last_id_) != 0);
  const int errnum = ends_.Add(last_id_, pidfd.get());
  if (errnum != 0) return Error::Errno("epoll_ctl", "watch", errnum);
  watches_.try_emplace(last_id_, pid, std::move(pidfd));
  ReapUnclaimedChildren();
  return last_id_;
}

// JavaScript asks for none that it has ended.
ChildWatches::Watch* ChildWatches::Find(const Napi::CallbackInfo& info) {
  return &watches_.at(info[0].As<Napi::Number>().Uint32Value());
}

void ChildWatches::End(uint32_t id) {
  ends_.Remove(id);
  watches_.erase(id);
}

void ChildWatches::LeaveAll() {
  const bool own = ends_.AreOwn();
  while (!watches_.empty()) {
    Watch& watch = watches_.begin()->second;
    const pid_t pid = watch.child.pid;
    UniqueFd pidfd = std::move(watch.pidfd);
    watches_.erase(watches_.begin());
    if (own) AddUnclaimedChild(pid, std::move(pidfd));
  }
}

void ChildWatches::Look(uint32_t id) {
  if (watches_.count(id) == 0) return;  // told of together with another, whose listener has ended it
  const Napi::HandleScope scope(env_);
  const napi_value on_end = on_end_.Value();
  const napi_value argument = Napi::Number::New(env_, id);
  // As an event of the loop: process.nextTick() and promises have their turn when it returns, and what it throws is
  // nobody's here.
  const napi_status status = napi_make_callback(env_, nullptr, env_.Global(), on_end, 1, &argument, nullptr);
  if (status != napi_pending_exception) return;
  napi_value error;
  if (napi_get_and_clear_last_exception(env_, &error) == napi_ok) napi_fatal_exception(env_, error);
}

}  // namespace atfork::binding

// child_watches.cc - the children whose end an environment's event loop waits for; see child_watches.h.
// Runs in:  the environment's own thread: from JavaScript, from its loop when a child may have ended, at its end.
// Calls:    what JavaScript has given for each child, when that may have ended.
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

void ChildWatches::Install(Napi::Env env, Napi::Object exports) {
  auto* const self = new ChildWatches(env);
  Napi::Object watches = Napi::Object::New(env);
  // (pid, pidfd, on_end) -> id, or NativeErrorInfo
  watches.Set("begin", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
                return self->Begin(info[0].As<Napi::Number>().Int32Value(),
                                   UniqueFd(info[1].As<Napi::Number>().Int32Value()), info[2].As<Napi::Function>());
              }));
  // (id) -> {code, signaled, coreDumped, usage}, null while it runs, or NativeErrorInfo
  watches.Set("reap", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) -> Napi::Value {
                const Watch* const watch = self->Find(info);
                const auto reaped = ReapChild(watch->pid, watch->handle->pidfd());
                if (!reaped) return ToNativeErrorInfo(info.Env(), reaped.error());
                if (!reaped.value().has_value()) return info.Env().Null();
                return ToChildEnd(info.Env(), *reaped.value());
              }));
  // (id, signal) -> 0 or an errno
  watches.Set("signal", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
                const Watch* const watch = self->Find(info);
                const int signal = info[1].As<Napi::Number>().Int32Value();
                return Napi::Number::New(info.Env(), SignalChild(watch->pid, watch->handle->pidfd(), signal));
              }));
  watches.Set("keepAlive", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
                self->Find(info)->handle->KeepAlive(info[1].As<Napi::Boolean>().Value());
              }));
  watches.Set("listen", Napi::Function::New(env, [self](const Napi::CallbackInfo& info) {
                self->Find(info)->handle->Listen(info[1].As<Napi::Boolean>().Value());
              }));
  watches.Set("end",
              Napi::Function::New(env, [self](const Napi::CallbackInfo& info) { self->Close(self->Find(info)); }));
  exports.Set("childWatches", watches);
  const auto on_end = [](napi_async_cleanup_hook_handle handle, void* all) {
    static_cast<ChildWatches*>(all)->End(handle);
  };
  napi_add_async_cleanup_hook(env, on_end, self, nullptr);
}

Napi::Value ChildWatches::Begin(pid_t pid, UniqueFd pidfd, Napi::Function on_end) {
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env_, &loop);
  auto watch = std::make_unique<Watch>();
  const auto look = [](void* arg) {
    auto* const ended = static_cast<Watch*>(arg);
    ended->owner->Look(ended);
  };
  int errnum = 0;
  watch->handle = runtime::ChildWatch::Open(loop, std::move(pidfd), look, watch.get(), &errnum);
  if (watch->handle == nullptr) return ToNativeErrorInfo(env_, Error::Errno("epoll_ctl", "watch", errnum));
  do {
    ++last_id_;
  } while (watches_.count(last_id_) != 0);
  watch->owner = this;
  watch->id = last_id_;
  watch->pid = pid;
  watch->on_end = Napi::Persistent(on_end);
  watches_.emplace(last_id_, std::move(watch));
  return Napi::Number::New(env_, last_id_);
}

// JavaScript asks for none that it has ended.
ChildWatches::Watch* ChildWatches::Find(const Napi::CallbackInfo& info) {
  return watches_.at(info[0].As<Napi::Number>().Uint32Value()).get();
}

void ChildWatches::Close(Watch* watch) {
  ++closing_;
  watch->handle->Close(
      [](void* arg) {
        auto* const self = static_cast<ChildWatches*>(arg);
        --self->closing_;
        self->LeaveIfDone();
      },
      this);
  watches_.erase(watch->id);
}

void ChildWatches::Look(Watch* watch) {
  const Napi::HandleScope scope(env_);
  const napi_value on_end = watch->on_end.Value();
  // As an event of the loop: process.nextTick() and promises have their turn when it returns, and what it throws is
  // nobody's here.
  const napi_status status = napi_make_callback(env_, nullptr, env_.Global(), on_end, 0, nullptr, nullptr);
  if (status != napi_pending_exception) return;
  napi_value error;
  if (napi_get_and_clear_last_exception(env_, &error) == napi_ok) napi_fatal_exception(env_, error);
}

void ChildWatches::End(napi_async_cleanup_hook_handle handle) {
  end_ = handle;
  while (!watches_.empty()) Close(watches_.begin()->second.get());
  LeaveIfDone();
}

void ChildWatches::LeaveIfDone() {
  if (end_ == nullptr || closing_ != 0) return;
  napi_remove_async_cleanup_hook(end_);
  delete this;
}

}  // namespace atfork::binding

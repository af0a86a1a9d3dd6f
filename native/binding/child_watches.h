// child_watches.h - the children whose end an environment's event loop waits for.
// Runs in: the environment's own thread.
#ifndef ATFORK_BINDING_CHILD_WATCHES_H_
#define ATFORK_BINDING_CHILD_WATCHES_H_

#include <napi.h>

#include <cstdint>
#include <map>
#include <memory>

#include "posix/child_end.h"
#include "posix/fd.h"
#include "runtime/child_watch.h"

namespace atfork::binding {

// {code, signaled, coreDumped, usage}: NativeChildEnd in lib/internal/native-exec.ts.
Napi::Object ToChildEnd(Napi::Env env, const ChildEnd& end);

class ChildWatches {
 public:
  // Exports `childWatches`: see lib/internal/native-exec.ts. The environment's end closes them.
  static void Install(Napi::Env env, Napi::Object exports);

 private:
  struct Watch {
    ChildWatches* owner;
    uint32_t id;
    pid_t pid;
    runtime::ChildWatch* handle;
    Napi::FunctionReference on_end;
  };

  explicit ChildWatches(Napi::Env env) : env_(env) {}
  Napi::Value Begin(pid_t pid, UniqueFd pidfd, Napi::Function on_end);
  Watch* Find(const Napi::CallbackInfo& info);
  void Close(Watch* watch);
  void Look(Watch* watch);
  void End(napi_async_cleanup_hook_handle handle);
  void LeaveIfDone();

  const Napi::Env env_;
  uint32_t last_id_ = 0;
  uint32_t closing_ = 0;
  std::map<uint32_t, std::unique_ptr<Watch>> watches_;
  napi_async_cleanup_hook_handle end_ = nullptr;  // the environment waits for the rest to be closed
};

}  // namespace atfork::binding

#endif  // ATFORK_BINDING_CHILD_WATCHES_H_

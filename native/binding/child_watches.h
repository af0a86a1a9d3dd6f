// child_watches.h - the children whose end an environment's event loop waits for.
// Runs in: the environment's own thread.
#ifndef ATFORK_BINDING_CHILD_WATCHES_H_
#define ATFORK_BINDING_CHILD_WATCHES_H_

#include <napi.h>

#include <cstdint>
#include <map>
#include <utility>

#include "posix/child_end.h"
#include "posix/fd.h"
#include "posix/result.h"
#include "posix/unclaimed_children.h"
#include "runtime/child_ends.h"

namespace atfork::binding {

// {code, signaled, coreDumped, usage}: NativeChildEnd in lib/internal/native-exec.ts.
Napi::Object ToChildEnd(Napi::Env env, const ChildEnd& end);

class ChildWatches {
 public:
  // Exports `childWatches`: see lib/internal/native-exec.ts. The environment's end closes them, and nobody uses the
  // result any more.
  static ChildWatches* Install(Napi::Env env, Napi::Object exports);

  // The new watch's id. A child that cannot be watched is killed and reaped.
  Result<uint32_t> BeginOrKill(pid_t pid, UniqueFd pidfd);

 private:
  struct Watch {
    Watch(pid_t pid, UniqueFd its_pidfd) : child(pid), pidfd(std::move(its_pidfd)) {}
    const ClaimedChild child;
    UniqueFd pidfd;
  };

  ChildWatches(Napi::Env env, uv_loop_t* loop);
  Result<uint32_t> Begin(pid_t pid, UniqueFd pidfd);
  // Of the id that JavaScript gives first.
  Watch* Find(const Napi::CallbackInfo& info);
  void End(uint32_t id);
  // At the environment's end.
  void LeaveAll();
  void Look(uint32_t id);

  const Napi::Env env_;
  Napi::FunctionReference on_end_;
  uint32_t last_id_ = 0;
  std::map<uint32_t, Watch> watches_;
  runtime::ChildEnds ends_;
  napi_async_cleanup_hook_handle hook_ = nullptr;  // the environment's end waits for the rest to be closed
};

}  // namespace atfork::binding

#endif  // ATFORK_BINDING_CHILD_WATCHES_H_

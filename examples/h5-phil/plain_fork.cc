// plain_fork.cc - fork(2) as any addon could call it, for comparison: libc's fork(), and nothing done about its child.
// Runs in:  the main thread; the child's from fork's return of 0 on, and it is expected not to get far.
// Calls:    fork(3), prctl(2). Returns: the pid as fork(3) does, -1 without the reason.
#include <node_api.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace {

napi_value PlainFork(napi_env env, napi_callback_info) {
  const pid_t pid = fork();
  // The crash is what is to be seen. Its core, on a machine that keeps them, would be as large as the parent.
  if (pid == 0) prctl(PR_SET_DUMPABLE, 0);
  napi_value result = nullptr;
  napi_create_int32(env, pid, &result);
  return result;
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value function = nullptr;
  napi_create_function(env, "plainFork", NAPI_AUTO_LENGTH, PlainFork, nullptr, &function);
  napi_set_named_property(env, exports, "plainFork", function);
  return exports;
}

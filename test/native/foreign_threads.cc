// foreign_threads.cc - what some addons give a program: threads of their own, and turns of the loop within a callback.
// Runs in:  the thread that asks; the threads do nothing but wait. Loaded by test/helpers/foreign.cjs; not part of the
//           package.
// Calls:    pthread_create(3), prctl(2), read(2), pthread_cond_wait(3), uv_run(3).
#include <napi.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <uv.h>

#include <cstring>

namespace {

struct Plan {
  char name[16] = {};  // of 15 bytes at most, whichever
  bool in_system_call = false;
  int wait_on[2] = {-1, -1};  // a pipe: it ends when that does
  int ready[2] = {-1, -1};    // a pipe: it tells that it is there
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  bool over = false;
  pthread_t thread = {};
};

void* Run(void* argument) {
  auto* plan = static_cast<Plan*>(argument);
  prctl(PR_SET_NAME, plan->name);
  char byte = 0;
  if (write(plan->ready[1], &byte, 1) != 1) return nullptr;
  if (plan->in_system_call) {
    if (read(plan->wait_on[0], &byte, 1) < 0) return nullptr;
    return nullptr;
  }
  pthread_mutex_lock(&plan->mutex);
  while (!plan->over) pthread_cond_wait(&plan->condition, &plan->mutex);
  pthread_mutex_unlock(&plan->mutex);
  return nullptr;
}

// start(name, detached, inSystemCall) -> the thread, which has its name by then, or undefined.
Napi::Value Start(const Napi::CallbackInfo& info) {
  auto* plan = new Plan;
  const std::string name = info[0].As<Napi::String>().Utf8Value();
  std::memcpy(plan->name, name.c_str(), name.size() < 15 ? name.size() : 15);
  const bool detached = info[1].As<Napi::Boolean>().Value();
  plan->in_system_call = info[2].As<Napi::Boolean>().Value();
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (detached) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  if (pipe(plan->wait_on) != 0 || pipe(plan->ready) != 0) return info.Env().Undefined();
  if (pthread_create(&plan->thread, &attributes, Run, plan) != 0) return info.Env().Undefined();
  char byte;
  if (read(plan->ready[0], &byte, 1) != 1) return info.Env().Undefined();
  close(plan->ready[0]);
  close(plan->ready[1]);
  return Napi::External<Plan>::New(info.Env(), plan);
}

// end(thread): of one that is not detached. It has ended then.
void End(const Napi::CallbackInfo& info) {
  auto* plan = info[0].As<Napi::External<Plan>>().Data();
  close(plan->wait_on[1]);
  pthread_mutex_lock(&plan->mutex);
  plan->over = true;
  pthread_cond_signal(&plan->condition);
  pthread_mutex_unlock(&plan->mutex);
  pthread_join(plan->thread, nullptr);
  close(plan->wait_on[0]);
  delete plan;
}

// turnLoop(): as the package `deasync` does it.
void TurnLoop(const Napi::CallbackInfo& info) {
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(info.Env(), &loop);
  uv_run(loop, UV_RUN_NOWAIT);
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("start", Napi::Function::New(env, Start, "start"));
  exports.Set("end", Napi::Function::New(env, End, "end"));
  exports.Set("turnLoop", Napi::Function::New(env, TurnLoop, "turnLoop"));
  return exports;
}

}  // namespace

NODE_API_MODULE(foreign_threads, Init)

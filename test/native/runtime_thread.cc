// runtime_thread.cc - a thread that fork() takes for one of V8's: what it was started with lies in Node's binary.
// Runs in:  the thread that asks; the thread itself does nothing but wait. Loaded by test/fixtures/fork-joins.cjs; not
//           part of the package.
// Calls:    libuv's threads and semaphores.
#include <napi.h>
#include <uv.h>

#include <atomic>

namespace {

// Process-wide: a Worker wakes the thread that the main one has started.
uv_sem_t semaphore;
uv_thread_t thread;
std::atomic<bool> woken{false};

// start()
void Start(const Napi::CallbackInfo&) {
  uv_sem_init(&semaphore, 0);
  uv_thread_create(&thread, reinterpret_cast<uv_thread_cb>(uv_sem_wait), &semaphore);
}

// wake(): it ends.
void Wake(const Napi::CallbackInfo&) {
  woken.store(true);
  uv_sem_post(&semaphore);
}

// join() -> whether it had been woken by then.
Napi::Value Join(const Napi::CallbackInfo& info) {
  uv_thread_join(&thread);
  return Napi::Boolean::New(info.Env(), woken.load());
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("start", Napi::Function::New(env, Start, "start"));
  exports.Set("wake", Napi::Function::New(env, Wake, "wake"));
  exports.Set("join", Napi::Function::New(env, Join, "join"));
  return exports;
}

}  // namespace

NODE_API_MODULE(runtime_thread, Init)

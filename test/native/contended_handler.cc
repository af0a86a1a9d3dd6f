// contended_handler.cc - what some addons are: a lock of their own, which their fork handlers take (pthread_atfork(3)).
// Runs in:  the thread that asks. Loaded by test/fixtures/fork-contended.cjs; not part of the package.
// Calls:    pthread_atfork(3), pthread_mutex_lock(3).
#include <napi.h>
#include <pthread.h>

namespace {

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void Lock() { pthread_mutex_lock(&lock); }
void Unlock() { pthread_mutex_unlock(&lock); }

// register()
void Register(const Napi::CallbackInfo&) { pthread_atfork(Lock, Unlock, Unlock); }

// holding(fn): calls it with the lock held.
void Holding(const Napi::CallbackInfo& info) {
  Lock();
  info[0].As<Napi::Function>().Call({});
  Unlock();
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("register", Napi::Function::New(env, Register, "register"));
  exports.Set("holding", Napi::Function::New(env, Holding, "holding"));
  return exports;
}

}  // namespace

NODE_API_MODULE(contended_handler, Init)

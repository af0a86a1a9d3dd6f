// random_binding.cc - what a fork needs of the generators of random values.
// Runs in:  the main thread.
#include <napi.h>

#include <cerrno>

#include "binding/binding.h"
#include "posix/fresh_random.h"
#include "runtime/math_random.h"
#include "runtime/openssl_seed.h"

namespace atfork::binding {
namespace {

// One lesson. An exception of JavaScript's stays pending.
Status Learn(Napi::Env env, const Napi::Function& make_context) {
  runtime::MathRandomLesson lesson;
  Status learned = lesson.Began();
  if (!learned) return learned;
  const Napi::Value draw = make_context.Call({});
  if (env.IsExceptionPending()) return learned;
  learned = lesson.MadeContext();
  if (!learned) return learned;
  const Napi::Value first = draw.As<Napi::Function>().Call({});
  if (env.IsExceptionPending()) return learned;
  learned = lesson.DrewOnce(first.As<Napi::Number>().DoubleValue());
  if (!learned) return learned;
  const Napi::Value second = draw.As<Napi::Function>().Call({});
  if (env.IsExceptionPending()) return learned;
  return lesson.DrewTwice(second.As<Napi::Number>().DoubleValue());
}

// Garbage collections come seldom, and V8 makes its generator once.
constexpr int kLessons = 5;

// learnMathRandom(makeContext) -> null or a NativeErrorInfo. `makeContext` returns a new context's Math.random.
Napi::Value LearnMathRandom(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  for (int tries = 1;; ++tries) {
    Status learned = Learn(env, info[0].As<Napi::Function>());
    if (env.IsExceptionPending() || learned) return env.Null();
    if (tries == kLessons) return ToNativeErrorInfo(env, learned.error());
  }
}

// reseedOpenssl() -> 0 or an errno.
Napi::Value ReseedOpenssl(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), runtime::ReseedOpenssl());
}

// freshRandom(array) -> 0 or an errno.
Napi::Value FillWithFreshRandom(const Napi::CallbackInfo& info) {
  auto array = info[0].As<Napi::Uint8Array>();
  return Napi::Number::New(info.Env(), FreshRandom(array.Data(), array.ByteLength()) ? 0 : errno);
}

}  // namespace

void InitRandom(Napi::Env env, Napi::Object exports) {
  exports.Set("learnMathRandom", Napi::Function::New(env, LearnMathRandom, "learnMathRandom"));
  exports.Set("reseedOpenssl", Napi::Function::New(env, ReseedOpenssl, "reseedOpenssl"));
  exports.Set("freshRandom", Napi::Function::New(env, FillWithFreshRandom, "freshRandom"));
}

}  // namespace atfork::binding

// shared_mapping.cc - what some addons give a program: a file, mapped MAP_SHARED, as an ArrayBuffer.
// Runs in:  the thread that asks. Loaded by test/fixtures/fork-shared-mapping.cjs; not part of the package.
// Calls:    open(2), mmap(2).
#include <fcntl.h>
#include <napi.h>
#include <sys/mman.h>
#include <unistd.h>

namespace {

// map(path, bytes) -> ArrayBuffer, mapped for as long as the process lives.
Napi::Value Map(const Napi::CallbackInfo& info) {
  const int fd = open(info[0].As<Napi::String>().Utf8Value().c_str(), O_RDWR | O_CLOEXEC);
  const size_t bytes = info[1].As<Napi::Number>().Uint32Value();
  void* const place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (place == MAP_FAILED) return info.Env().Undefined();
  return Napi::ArrayBuffer::New(info.Env(), place, bytes);
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("map", Napi::Function::New(env, Map, "map"));
  return exports;
}

}  // namespace

NODE_API_MODULE(shared_mapping, Init)

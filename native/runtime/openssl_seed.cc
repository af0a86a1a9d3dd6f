// openssl_seed.cc - see openssl_seed.h.
// Runs in:  the main thread, of the child but for FindOpenssl.
// Calls:    RAND_add(3), which Node exports to addons; getrandom(2).
// Rests on: OpenSSL 3 providers/implementations/rands/drbg.c. RAND_add reseeds the primary generator, from the kernel's
//           randomness and with ours beside it, and counts that. The generators that each thread draws from, public and
//           private, compare that count before every draw, and reseed themselves from it. OpenSSL would do so too when
//           it sees another getpid(2); but a child may have the pid of the one that its state was made in.
#include "runtime/openssl_seed.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "posix/fresh_random.h"

namespace atfork::runtime {

namespace {

using RandAdd = void (*)(const void* bytes, int count, double entropy_bytes);
RandAdd add = nullptr;

}  // namespace

void FindOpenssl() { add = reinterpret_cast<RandAdd>(dlsym(RTLD_DEFAULT, "RAND_add")); }

int ReseedOpenssl() {
  if (add == nullptr) return 0;
  unsigned char fresh[32];
  if (!FreshRandom(fresh, sizeof fresh)) return errno;
  add(fresh, sizeof fresh, sizeof fresh);
  explicit_bzero(fresh, sizeof fresh);
  return 0;
}

}  // namespace atfork::runtime

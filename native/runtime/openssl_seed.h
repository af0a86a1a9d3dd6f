// openssl_seed.h - gives a forked child's OpenSSL a seed of its own.
#ifndef ATFORK_RUNTIME_OPENSSL_SEED_H_
#define ATFORK_RUNTIME_OPENSSL_SEED_H_

namespace atfork::runtime {

// Main thread, at load: whether there is one to reseed. Where Node was built without OpenSSL, or keeps it to itself,
// the other does nothing.
void FindOpenssl();

// Child, main thread, once every thread that came back runs: one of them may have been in the middle of drawing, and
// hold a lock. 0 or an errno.
int ReseedOpenssl();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_OPENSSL_SEED_H_

// libc_symbols_test.cc - what libc tells debuggers is found, and what it does not tell is refused by name. That symbols
// are found where libc does not export them, the fork suite on Debian 11 shows (scripts/libc-matrix.mjs).
// Runs in:  native_tests.
#include "posix/libc_symbols.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "test.h"

TEST(libc_symbols_finds_a_field) {
  const auto offset = atfork::FindLibcField("_thread_db_pthread_tid", sizeof(pid_t));
  CHECK(offset.ok());
  pid_t tid = 0;
  std::memcpy(&tid, reinterpret_cast<const char*>(pthread_self()) + offset.value(), sizeof tid);
  CHECK_EQ(tid, static_cast<pid_t>(syscall(SYS_gettid)));
}

TEST(libc_symbols_refuses_a_field_of_another_size) {
  const auto offset = atfork::FindLibcField("_thread_db_pthread_tid", sizeof(void*));
  CHECK(!offset.ok());
  CHECK_EQ(offset.error().code, std::string("ERR_ATFORK_UNSUPPORTED"));
  CHECK_EQ(offset.error().detail, "libc has a field of another size behind _thread_db_pthread_tid");
}

TEST(libc_symbols_refuses_what_is_not_there) {
  CHECK(atfork::FindLibcSymbol("_thread_db_nothing") == nullptr);
  const auto offset = atfork::FindLibcField("_thread_db_nothing", sizeof(pid_t));
  CHECK(!offset.ok());
  CHECK_EQ(offset.error().detail, "libc has no symbol _thread_db_nothing");
}

// function_name_test.cc - functions are named by any address in them, local ones too; what is none has no name.
// Runs in:  native_tests.
#include "posix/function_name.h"

#include <cstdlib>

#include "test.h"

namespace {

// Not inlined, and of more than one byte.
[[gnu::noinline]] int LocalFunction(int value) { return std::rand() + value; }

}  // namespace

TEST(function_name_knows_local_functions) {
  const auto address = reinterpret_cast<uintptr_t>(&LocalFunction);
  CHECK(LocalFunction(0) >= 0);
  const std::string name = atfork::FunctionNameAt(address);
  CHECK(name.find("13LocalFunction") != std::string::npos);
  CHECK_EQ(atfork::FunctionNameAt(address + 1), name);
}

TEST(function_name_knows_none_where_there_is_no_function) {
  static int data = 0;
  CHECK_EQ(atfork::FunctionNameAt(reinterpret_cast<uintptr_t>(&data)), "");
  int on_the_stack = 0;
  CHECK_EQ(atfork::FunctionNameAt(reinterpret_cast<uintptr_t>(&on_the_stack)), "");
  CHECK_EQ(atfork::FunctionNameAt(0), "");
}

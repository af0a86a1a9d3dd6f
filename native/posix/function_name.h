// function_name.h - what a function of the program or of a shared object is called.
#ifndef ATFORK_POSIX_FUNCTION_NAME_H_
#define ATFORK_POSIX_FUNCTION_NAME_H_

#include <cstdint>
#include <string>

namespace atfork {

// The linker's (mangled) name of the function that `address` lies in, local ones included. Empty when it is not known:
// the file has been stripped, is another one by now, or nothing is loaded there. Reads all of the file's symbols:
// milliseconds for a program like Node. Takes the dynamic loader's lock. Any thread; not async-signal-safe.
std::string FunctionNameAt(uintptr_t address);

}  // namespace atfork

#endif  // ATFORK_POSIX_FUNCTION_NAME_H_

// exec.h - replace the program of this process. See exec.cc.
#ifndef ATFORK_POSIX_EXEC_H_
#define ATFORK_POSIX_EXEC_H_

#include <string>
#include <vector>

#include "posix/result.h"

namespace atfork {

// execve(2): `file` is a path, never looked up in PATH; `args` begins with argv[0]; `env` holds NAME=value.
// Returns only on failure, with errno, and with everything as it was before the call.
Error ExecInPlace(const std::string& file, const std::vector<std::string>& args, const std::vector<std::string>& env);

}  // namespace atfork

#endif  // ATFORK_POSIX_EXEC_H_

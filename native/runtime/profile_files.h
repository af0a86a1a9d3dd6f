// profile_files.h - under which names a child writes the profiles of --cpu-prof and --heap-prof.
//
// Node makes their names when it starts, with its pid in them, and writes them when it ends. A child that has been
// forked would write over its parent's: where Node has put the parent's pid, its own comes, and a profile whose name
// has no pid is not written by a child at all.
#ifndef ATFORK_RUNTIME_PROFILE_FILES_H_
#define ATFORK_RUNTIME_PROFILE_FILES_H_

#include <string>
#include <vector>

#include "posix/result.h"

namespace atfork::runtime {

// `names`: what --cpu-prof-name and --heap-prof-name say, where they are given. Main thread, once, at load.
Status WatchProfileFiles(std::vector<std::string> names);

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_PROFILE_FILES_H_

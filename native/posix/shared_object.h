// shared_object.h - the memory of a lock between processes: made, opened and checked. See shared_object.cc.
#ifndef ATFORK_POSIX_SHARED_OBJECT_H_
#define ATFORK_POSIX_SHARED_OBJECT_H_

#include <cstdint>
#include <string>

#include "posix/fd.h"
#include "posix/result.h"

namespace atfork {

// Bytes of a name; of letters, digits, '.', '_' and '-', the first one a letter or a digit.
inline constexpr size_t kLongestSharedName = 100;
[[nodiscard]] bool IsSharedName(const std::string& name);

// Where the object of that name lies, for the effective user.
std::string SharedPath(const std::string& name);

// Memory without a name, which cannot be made smaller.
Result<UniqueFd> CreateAnonymousPage();
// Made whole before it has its name; EEXIST. `tracker`: a pipe that is told of the name first, and of its end: a line
// each, "+ INODE PATH" and "- INODE PATH"; negative: none.
Result<UniqueFd> CreateNamedPage(const std::string& name, int tracker);
Status TellOfName(int tracker, char what, uint64_t inode, const std::string& path);
// ENOENT; ELOOP, EMLINK, EPERM, ESTALE or EXDEV when what has the name is not what CreateNamedPage makes for this user,
// or was made by another version, or in another pid namespace.
Result<UniqueFd> OpenNamedPage(const std::string& name);
// The same for what CreateAnonymousPage has made, here or in another process.
Result<UniqueFd> OpenAnonymousPage(int fd);
// EXDEV: the pid namespace of the page `object` is not that of this process, and a tid of it may be anybody's here.
Status CheckNamespace(uint64_t device, uint64_t inode, const std::string& object);
// ENOENT; as OpenNamedPage when it is another user's. `tracker` is told.
Status UnlinkSharedName(const std::string& name, int tracker);
// For the tracker. Takes the name of the object away if no process uses it. False: some process does.
bool UnlinkUnused(const std::string& path, uint64_t inode);

}  // namespace atfork

#endif  // ATFORK_POSIX_SHARED_OBJECT_H_

// user_database.h - ids of users and groups by name. See user_database.cc.
#ifndef ATFORK_POSIX_USER_DATABASE_H_
#define ATFORK_POSIX_USER_DATABASE_H_

#include <sys/types.h>

#include <optional>

namespace atfork {

// Empty: there is no such name.
std::optional<uid_t> UserId(const char* name);
std::optional<gid_t> GroupId(const char* name);

}  // namespace atfork

#endif  // ATFORK_POSIX_USER_DATABASE_H_

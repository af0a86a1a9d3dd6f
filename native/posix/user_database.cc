// user_database.cc - ids of users and groups by name.
// Runs in:  the parent or a complete child, any thread. Not async-signal-safe.
// Calls:    getpwnam_r(3), getgrnam_r(3), which ask whatever nsswitch.conf(5) names, and may take long. Allocates.
#include "posix/user_database.h"

#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <vector>

namespace atfork {
namespace {

constexpr size_t kFirstRoom = 1024;
constexpr size_t kMostRoom = 1 << 24;  // a group of a million members

template <typename Entry, typename Id, int (*Find)(const char*, Entry*, char*, size_t, Entry**), Id Entry::*id>
std::optional<Id> Lookup(const char* name) {
  std::vector<char> room(kFirstRoom);
  for (;;) {
    Entry entry;
    Entry* found = nullptr;
    const int error = Find(name, &entry, room.data(), room.size(), &found);
    if (found != nullptr) return entry.*id;
    if (error != ERANGE || room.size() >= kMostRoom) return std::nullopt;
    room.resize(2 * room.size());
  }
}

}  // namespace

std::optional<uid_t> UserId(const char* name) { return Lookup<passwd, uid_t, getpwnam_r, &passwd::pw_uid>(name); }

std::optional<gid_t> GroupId(const char* name) { return Lookup<group, gid_t, getgrnam_r, &group::gr_gid>(name); }

}  // namespace atfork

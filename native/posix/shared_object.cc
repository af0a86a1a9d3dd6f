// shared_object.cc - the memory of a lock between processes: made, opened and checked.
// Runs in:  any thread, the parent or a complete child.
// Calls:    memfd_create(2), fcntl(2) F_ADD_SEALS; open(2) with O_TMPFILE and linkat(2), so that nobody finds a name
// with
//           half an object; open(2) with O_NOFOLLOW, fstat(2), pread(2), pwrite(2), unlink(2). Allocates: strings.
// Returns:  Result; an error's `detail` names the object and what is wrong with it.
// man: memfd_create(2), shm_overview(7) (why /dev/shm), pid_namespaces(7).
#include "posix/shared_object.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>

#include "posix/presence.h"
#include "posix/shared_page.h"

namespace atfork {
namespace {

constexpr char kFolder[] = "/dev/shm";
constexpr char kStage[] = "shared lock";
// Linux 6.3; where fcntl.h does not know it yet.
constexpr unsigned kNoExec = 8;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// What there is of a page before anybody has used it.
struct Header {
  uint64_t magic;
  uint32_t version;
  uint32_t size;
  uint64_t namespace_device;
  uint64_t namespace_inode;
};
static_assert(offsetof(Header, namespace_inode) == offsetof(SharedPage, namespace_inode));

std::string FdPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

Error Unfit(int errnum, const std::string& object, const std::string& why) {
  Error error = Error::Errno("", kStage, errnum);
  error.detail = object + ' ' + why;
  return error;
}

Result<Header> OwnHeader() {
  struct stat own;
  const UniqueFd fd(open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
  if (!fd || fstat(fd.get(), &own) != 0) return Error::Errno("open", kStage);
  return Header{SharedPage::kMagic, SharedPage::kVersion, SharedPage::kSize, own.st_dev, own.st_ino};
}

// Everything behind the header is 0 where a lock is free: `std::atomic` has no other state.
Status Format(int fd) {
  const auto header = OwnHeader();
  if (!header.ok()) return header.error();
  if (ftruncate(fd, SharedPage::kSize) != 0) return Error::Errno("ftruncate", kStage);
  const ssize_t written = pwrite(fd, &header.value(), sizeof(Header), 0);
  if (written != sizeof(Header)) return Error::Errno("pwrite", kStage, written < 0 ? errno : EIO);
  return Unit{};
}

Status CheckHeader(int fd, const std::string& object, off_t size) {
  Header header = {};
  const bool whole = pread(fd, &header, sizeof header, 0) == sizeof header;
  if (!whole || header.magic != SharedPage::kMagic) return Unfit(ESTALE, object, "is no lock of this library");
  if (header.version != SharedPage::kVersion || header.size != SharedPage::kSize ||
      size != static_cast<off_t>(SharedPage::kSize)) {
    return Unfit(ESTALE, object, "was made by another version of this library");
  }
  return CheckNamespace(header.namespace_device, header.namespace_inode, object);
}

Status CheckNamed(int fd, const std::string& path) {
  struct stat found;
  if (fstat(fd, &found) != 0) return Error::Errno("fstat", kStage);
  if (!S_ISREG(found.st_mode)) return Unfit(EPERM, path, "is no regular file");
  if (found.st_uid != geteuid()) return Unfit(EPERM, path, "belongs to user " + std::to_string(found.st_uid));
  if ((found.st_mode & 07777) != 0600) return Unfit(EPERM, path, "is open to others: its mode is not 0600");
  if (found.st_nlink != 1) return Unfit(EMLINK, path, "has not one name, but " + std::to_string(found.st_nlink));
  return CheckHeader(fd, path, found.st_size);
}

Result<UniqueFd> OpenPath(const std::string& path) {
  // Nonblocking: it may be a FIFO.
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (fd) return fd;
  const int errnum = errno;
  if (errnum == ELOOP) return Unfit(ELOOP, path, "is a symbolic link");
  if (errnum == EACCES || errnum == EISDIR || errnum == ENXIO)
    return Unfit(EPERM, path, "is not what this library makes");
  Error error = Error::Errno("open", kStage, errnum);
  error.detail = path;
  return error;
}

// Whether that is the object's name.
bool HasName(const std::string& path, const struct stat& object) {
  const UniqueFd fd(open(path.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW));
  struct stat found;
  return fd && fstat(fd.get(), &found) == 0 && found.st_dev == object.st_dev && found.st_ino == object.st_ino;
}

bool IsAlphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

}  // namespace

// Shorter than PIPE_BUF, so never mixed with another thread's.
Status TellOfName(int tracker, char what, uint64_t inode, const std::string& path) {
  if (tracker < 0) return Unit{};
  char line[256];
  const int length =
      std::snprintf(line, sizeof line, "%c %llu %s\n", what, static_cast<unsigned long long>(inode), path.c_str());
  ssize_t written = 0;
  do {
    written = write(tracker, line, static_cast<size_t>(length));
  } while (written < 0 && errno == EINTR);
  if (written != length) return Error::Errno("write", "tracker", written < 0 ? errno : EIO);
  return Unit{};
}

bool IsSharedName(const std::string& name) {
  if (name.empty() || name.size() > kLongestSharedName || !IsAlphanumeric(name[0])) return false;
  for (const char c : name) {
    if (!IsAlphanumeric(c) && c != '.' && c != '_' && c != '-') return false;
  }
  return true;
}

std::string SharedPath(const std::string& name) {
  return std::string(kFolder) + "/atfork." + std::to_string(geteuid()) + '.' + name;
}

Result<UniqueFd> CreateAnonymousPage() {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  UniqueFd fd(static_cast<int>(syscall(SYS_memfd_create, "atfork-lock", kFlags | kNoExec)));
  if (!fd && errno == EINVAL) fd.reset(static_cast<int>(syscall(SYS_memfd_create, "atfork-lock", kFlags)));
  if (!fd) return Error::Errno("memfd_create", kStage);
  const Status formatted = Format(fd.get());
  if (!formatted.ok()) return formatted.error();
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return Error::Errno("fcntl", kStage);
  return fd;
}

Result<UniqueFd> CreateNamedPage(const std::string& name, int tracker) {
  const std::string path = SharedPath(name);
  UniqueFd fd(open(kFolder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd) return Error::Errno("open", kStage);
  if (fchmod(fd.get(), 0600) != 0) return Error::Errno("fchmod", kStage);  // umask(2) may have taken something away
  struct stat made;
  if (fstat(fd.get(), &made) != 0) return Error::Errno("fstat", kStage);
  Status done = Format(fd.get());
  if (done.ok()) done = TellOfName(tracker, '+', made.st_ino, path);
  if (!done.ok()) return done.error();
  if (linkat(AT_FDCWD, FdPath(fd.get()).c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0) return fd;
  Error error = Error::Errno("linkat", kStage);
  error.detail = path;
  static_cast<void>(TellOfName(tracker, '-', made.st_ino, path));
  return error;
}

Result<UniqueFd> OpenNamedPage(const std::string& name) {
  const std::string path = SharedPath(name);
  auto fd = OpenPath(path);
  if (!fd.ok()) return fd;
  const Status fit = CheckNamed(fd.value().get(), path);
  if (!fit.ok()) return fit.error();
  return fd;
}

Result<UniqueFd> OpenAnonymousPage(int fd) {
  const std::string object = "descriptor " + std::to_string(fd);
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return Error::Errno("fcntl", kStage);
  if ((flags & O_ACCMODE) != O_RDWR) return Unfit(EACCES, object, "is not open for reading and writing");
  const int seals = fcntl(fd, F_GET_SEALS);
  // Else anybody who has it could make it smaller, and the next access of this process would be its end: SIGBUS.
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return Unfit(EPERM, object, "is no memfd that is sealed");
  struct stat found;
  if (fstat(fd, &found) != 0) return Error::Errno("fstat", kStage);
  const Status fit = CheckHeader(fd, object, found.st_size);
  if (!fit.ok()) return fit.error();
  UniqueFd own(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!own) return Error::Errno("fcntl", kStage);
  return own;
}

Status CheckNamespace(uint64_t device, uint64_t inode, const std::string& object) {
  const auto own = OwnHeader();
  if (!own.ok()) return own.error();
  if (own.value().namespace_device == device && own.value().namespace_inode == inode) return Unit{};
  return Unfit(EXDEV, object, "was made in another pid namespace (another container)");
}

// A name is given once (linkat(2) replaces nothing), and taken away only by who has the byte of the object's name
// locked: so what is seen under that is what unlink(2) finds.
Status UnlinkSharedName(const std::string& name, int tracker) {
  const std::string path = SharedPath(name);
  const auto failed = [&](const char* call) {
    Error error = Error::Errno(call, kStage);
    error.detail = path;
    return error;
  };
  struct stat found = {};
  for (;;) {
    const UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    // What is not ours anyhow needs no care: a symbolic link, say.
    if (!fd || fstat(fd.get(), &found) != 0) break;
    if (found.st_uid != geteuid()) return Unfit(EPERM, path, "belongs to user " + std::to_string(found.st_uid));
    if (!S_ISREG(found.st_mode)) break;
    if (!Presence::TakeName(fd.get())) return failed("fcntl");
    if (!HasName(path, found)) continue;
    if (unlink(path.c_str()) != 0) return failed("unlink");
    static_cast<void>(TellOfName(tracker, '-', found.st_ino, path));
    return Unit{};
  }
  if (unlink(path.c_str()) != 0) return failed("unlink");
  return Unit{};
}

bool UnlinkUnused(const std::string& path, uint64_t inode) {
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat found;
  if (!fd || fstat(fd.get(), &found) != 0 || found.st_ino != inode) return true;  // it has no such name any more
  if (!Presence::TakeAlone(fd.get())) return false;
  // Whoever opens it meanwhile waits for byte 0, and then sees that the name is gone.
  if (Presence::TakeName(fd.get()) && HasName(path, found)) unlink(path.c_str());
  return true;
}

}  // namespace atfork

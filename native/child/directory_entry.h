// directory_entry.h - what getdents64(2) fills a buffer with, for who may not use readdir(3), which allocates.
#ifndef ATFORK_CHILD_DIRECTORY_ENTRY_H_
#define ATFORK_CHILD_DIRECTORY_ENTRY_H_

#include <stdint.h>

namespace atfork::child {

struct DirectoryEntry {
  uint64_t inode;
  int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[1];
};

}  // namespace atfork::child

#endif  // ATFORK_CHILD_DIRECTORY_ENTRY_H_

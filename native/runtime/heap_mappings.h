// heap_mappings.h - knows which memory V8 keeps out of forked children, and puts it in for one fork.
//
// Since 2023 V8 marks its heap and code MADV_DONTFORK (nodejs/node #48523), so that child_process.spawn copies less:
// a plain fork(2) child dies on its first bytecode. For our fork the marks are lifted; parent and child set them again
// right after, so that later spawns cost what they cost before.
//
// /proc/self/smaps tells the marks, but walks every page table: 6 to 16 ms for a large heap. It is read once, at the
// first fork, with V8's threads parked. From then on the set is kept exact by watching the calls that change it: V8's
// own madvise, munmap, mmap (MAP_FIXED replaces a mapping and drops its mark) and mremap, through the runtime's import
// slots. (Read at load it would not be exact: a thread may have gone through an import slot before it was replaced, and
// make its call after smaps was read.) Marks that other libraries set on their own memory after that (RDMA, DMA rings)
// are not seen and never touched.
#ifndef ATFORK_RUNTIME_HEAP_MAPPINGS_H_
#define ATFORK_RUNTIME_HEAP_MAPPINGS_H_

#include "posix/result.h"

namespace atfork::runtime {

// Begins to watch. Main thread, once, at load.
Status WatchHeapMappings();

// Reads the marks that are set, the first time. Forking thread, every other thread of the runtime parked.
Status LearnHeapMappings();

// Lifts the marks, and locks the set until RestoreHeapMappings. Forking thread, before the fork.
void IncludeHeapMappings();

// Sets the marks again. Forking thread, in the parent and in the child, whether or not the fork succeeded.
void RestoreHeapMappings();

}  // namespace atfork::runtime

#endif  // ATFORK_RUNTIME_HEAP_MAPPINGS_H_

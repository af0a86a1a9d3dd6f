// range_set.h - a set of address ranges, kept sorted, disjoint and merged.
// Pure data structure; the caller serialises.
#ifndef ATFORK_POSIX_RANGE_SET_H_
#define ATFORK_POSIX_RANGE_SET_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace atfork {

struct AddressRange {
  uintptr_t begin;
  uintptr_t end;  // exclusive
};

class RangeSet {
 public:
  void Add(uintptr_t begin, uintptr_t end);
  void Remove(uintptr_t begin, uintptr_t end);
  const std::vector<AddressRange>& ranges() const { return ranges_; }

 private:
  // Index of the first range that ends at or after `address`.
  size_t FirstReaching(uintptr_t address) const;

  std::vector<AddressRange> ranges_;
};

}  // namespace atfork

#endif  // ATFORK_POSIX_RANGE_SET_H_

// range_set.cc - see range_set.h.
// Runs in:  any thread; allocates, so not where that is not async-signal-safe.
#include "posix/range_set.h"

#include <algorithm>

namespace atfork {

size_t RangeSet::FirstReaching(uintptr_t address) const {
  const auto it = std::lower_bound(ranges_.begin(), ranges_.end(), address,
                                   [](const AddressRange& range, uintptr_t at) { return range.end < at; });
  return static_cast<size_t>(it - ranges_.begin());
}

void RangeSet::Add(uintptr_t begin, uintptr_t end) {
  if (begin >= end) return;
  const size_t first = FirstReaching(begin);
  size_t last = first;
  while (last < ranges_.size() && ranges_[last].begin <= end) {
    begin = std::min(begin, ranges_[last].begin);
    end = std::max(end, ranges_[last].end);
    ++last;
  }
  if (first == last) {
    ranges_.insert(ranges_.begin() + static_cast<ptrdiff_t>(first), {begin, end});
    return;
  }
  ranges_[first] = {begin, end};
  ranges_.erase(ranges_.begin() + static_cast<ptrdiff_t>(first) + 1, ranges_.begin() + static_cast<ptrdiff_t>(last));
}

void RangeSet::Remove(uintptr_t begin, uintptr_t end) {
  if (begin >= end) return;
  size_t at = FirstReaching(begin);
  while (at < ranges_.size() && ranges_[at].begin < end) {
    const AddressRange range = ranges_[at];
    if (range.end == begin) {  // touches, does not overlap
      ++at;
      continue;
    }
    if (range.begin < begin && range.end > end) {
      ranges_[at].end = begin;
      ranges_.insert(ranges_.begin() + static_cast<ptrdiff_t>(at) + 1, {end, range.end});
      return;
    }
    if (range.begin < begin) {
      ranges_[at++].end = begin;
    } else if (range.end > end) {
      ranges_[at++].begin = end;
    } else {
      ranges_.erase(ranges_.begin() + static_cast<ptrdiff_t>(at));
    }
  }
}

}  // namespace atfork

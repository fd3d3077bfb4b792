#include "kafka/verdict-log.h"

#include <algorithm>

namespace mq::kafka {
namespace {

bool Before(const VerdictRun& a, const VerdictRun& b) {
  return a.generation != b.generation ? a.generation < b.generation : a.first < b.first;
}

}  // namespace

bool Extend(VerdictRun* run, const VerdictRun& next) {
  if (run->first + run->count != next.first || run->topic != next.topic ||
      run->code != next.code || run->partition != next.partition ||
      run->generation != next.generation) {
    return false;
  }
  const bool both_unknown = run->base_offset < 0 && next.base_offset < 0;
  const bool in_a_row = run->base_offset >= 0 && next.base_offset >= 0 &&
                        run->base_offset + run->count == next.base_offset;
  if (!both_unknown && !in_a_row) return false;
  run->count += next.count;
  return true;
}

void SortAndMerge(std::vector<VerdictRun>* runs) {
  if (runs->size() < 2) return;
  if (!std::is_sorted(runs->begin(), runs->end(), Before)) {
    std::sort(runs->begin(), runs->end(), Before);
  }
  size_t last = 0;
  for (size_t i = 1; i < runs->size(); i++) {
    if (!Extend(&(*runs)[last], (*runs)[i])) (*runs)[++last] = (*runs)[i];
  }
  runs->resize(last + 1);
}

}  // namespace mq::kafka

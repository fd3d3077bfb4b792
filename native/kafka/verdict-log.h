// What the backend said about sent messages, as runs of consecutive lane sequences.
#pragma once

#include <cstdint>
#include <vector>

namespace mq::kafka {

struct VerdictRun {
  uint64_t first = 0;        // lane sequence
  int64_t base_offset = -1;  // of the first message; -1 = not known or not asked
  uint32_t count = 0;
  int32_t code = 0;  // rd_kafka_resp_err_t
  int32_t partition = -1;
  uint32_t generation = 0;
  uint16_t topic = 0;
};

/// Appends `next` to `run` when the two are one run.
bool Extend(VerdictRun* run, const VerdictRun& next);

/// Sorts by generation and sequence, then joins neighbours. Reports of several partitions arrive
/// partition by partition; this makes long runs of them again.
void SortAndMerge(std::vector<VerdictRun>* runs);

}  // namespace mq::kafka

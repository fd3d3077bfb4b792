// Delayed messages: the check of a due field, and the record of the delay log that such a message
// becomes before it is stored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/message.h"

namespace mq {

constexpr size_t kDelayIdBytes = 24;
constexpr uint32_t kDelayPartitions = 16;

/// How delayed messages are taken; `topic` 0: not at all.
struct DueRules {
  /// The node's number of the delay log.
  uint16_t topic = 0;
  /// Durations of the fixed levels, in ms.
  std::vector<uint64_t> levels;
  uint8_t origin_node[8] = {};
};

/// Who sent a message, when it was taken, and where it goes.
struct DueOrigin {
  /// producerId:u64 epoch:u16 of its segment, and its own sequence.
  const uint8_t* producer;
  uint64_t sequence;
  uint64_t accepted_ms;
  const std::string* target;
};

/// Checks the due field of a message that is well formed: kOk or the code it is refused with.
uint16_t check_due(uint8_t flags, const MessageView& view, const DueRules& rules, uint64_t now_ms);

/// Bytes of the body that write_due_body() makes.
size_t due_body_bytes(uint8_t flags, const MessageView& view, size_t target_length);

/// Writes the body of the delay log's record, whose flags are kDueBodyFlags.
void write_due_body(uint8_t* out, uint8_t flags, const MessageView& view, const DueRules& rules,
                    const DueOrigin& origin);

constexpr uint8_t kDueBodyFlags = wire::kKey | wire::kHeaders | wire::kPartition;

}  // namespace mq

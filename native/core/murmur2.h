#pragma once

#include <cstddef>
#include <cstdint>

namespace mq {

/// The murmur2 of Kafka's Java client, so that a key finds the partition it has there.
uint32_t murmur2(const uint8_t* key, size_t length);

/// The partition of a key: (murmur2 & 0x7fffffff) % partitions. `partitions` >= 1.
inline uint32_t partition_of(const uint8_t* key, size_t length, uint32_t partitions) {
  return (murmur2(key, length) & 0x7fffffffu) % partitions;
}

}  // namespace mq

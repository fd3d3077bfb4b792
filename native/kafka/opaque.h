// The 64 bits that travel with a message through librdkafka: lane u8 | flags u8 | sequence u48.
// The generation needs no bits: reports come back on the queue of the instance that sent them.
#pragma once

#include <cstdint>

namespace mq::kafka {

constexpr uint64_t kOpaquePlaced = uint64_t{1} << 48;
constexpr uint64_t kSequenceMask = (uint64_t{1} << 48) - 1;

inline void* PackOpaque(uint8_t lane, bool placed, uint64_t sequence) {
  const uint64_t bits = (static_cast<uint64_t>(lane) << 56) | (placed ? kOpaquePlaced : 0) |
                        (sequence & kSequenceMask);
  return reinterpret_cast<void*>(bits);
}

inline uint64_t OpaqueBits(const void* opaque) { return reinterpret_cast<uint64_t>(opaque); }
inline uint8_t OpaqueLane(uint64_t bits) { return static_cast<uint8_t>(bits >> 56); }
inline uint64_t OpaqueSequence(uint64_t bits) { return bits & kSequenceMask; }
inline bool OpaqueIsPlaced(uint64_t bits) { return (bits & kOpaquePlaced) != 0; }

}  // namespace mq::kafka

// The 64 bits that travel with a message through librdkafka: lane u8 | headers u7 | placed u1 |
// sequence u48. The generation needs no bits: reports come back on the queue of the instance that
// sent them. A report does not say how long the headers were, so their size travels along, rounded
// up: units of 64 bytes as a number of three bits above an exponent of four.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mq::kafka {

constexpr uint64_t kOpaquePlaced = uint64_t{1} << 48;
constexpr uint64_t kSequenceMask = (uint64_t{1} << 48) - 1;
constexpr int kSizeShift = 49;
constexpr uint8_t kSizeMask = 0x7f;
constexpr size_t kSizeUnit = 64;

/// The smallest size that holds so many bytes of headers; what no size holds gets the largest.
inline uint8_t SizeOfHeaders(size_t bytes) {
  size_t units = (bytes + kSizeUnit - 1) / kSizeUnit;
  uint8_t exponent = 0;
  while (units > 7 && exponent < 15) {
    units = (units + 1) / 2;
    exponent++;
  }
  return static_cast<uint8_t>(exponent << 3 | (units > 7 ? 7 : units));
}

inline int64_t HeaderBytes(uint8_t size) {
  return static_cast<int64_t>((size & 7) * kSizeUnit) << (size >> 3);
}

inline void* PackOpaque(uint8_t lane, uint8_t size, bool placed, uint64_t sequence) {
  const uint64_t bits = (static_cast<uint64_t>(lane) << 56) |
                        (static_cast<uint64_t>(size & kSizeMask) << kSizeShift) |
                        (placed ? kOpaquePlaced : 0) | (sequence & kSequenceMask);
  return reinterpret_cast<void*>(bits);
}

inline uint64_t OpaqueBits(const void* opaque) { return reinterpret_cast<uint64_t>(opaque); }
inline uint8_t OpaqueLane(uint64_t bits) { return static_cast<uint8_t>(bits >> 56); }
inline uint64_t OpaqueSequence(uint64_t bits) { return bits & kSequenceMask; }
inline int64_t OpaqueHeaderBytes(uint64_t bits) {
  return HeaderBytes(static_cast<uint8_t>(bits >> kSizeShift) & kSizeMask);
}
inline bool OpaqueIsPlaced(uint64_t bits) { return (bits & kOpaquePlaced) != 0; }

}  // namespace mq::kafka

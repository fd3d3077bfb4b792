// The numbers of the protocol that native code needs; protocol/schema.json is the truth.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mq::wire {

// frame := length:u32 opcode:u8 flags:u8 topic:u16 correlationId:u32 body
inline constexpr size_t kFrameHead = 12;
// What of the head the length field counts.
inline constexpr size_t kCountedHead = 8;

inline constexpr uint8_t kProduce = 0x20;
inline constexpr uint8_t kProduceBatch = 0x21;

inline constexpr uint8_t kKey = 0x01;
inline constexpr uint8_t kHeaders = 0x02;
inline constexpr uint8_t kPartition = 0x04;
inline constexpr uint8_t kNullValue = 0x08;
inline constexpr uint8_t kReplicated = 0x10;
inline constexpr uint8_t kDue = 0x20;
inline constexpr uint8_t kBodyFlags = kKey | kHeaders | kPartition | kNullValue | kDue;
// Only in records of TAIL.
inline constexpr uint8_t kId = 0x40;

inline constexpr uint64_t kSequenceMax = (uint64_t{1} << 48) - 1;
inline constexpr uint16_t kNullHeader = 0xFFFF;
inline constexpr uint32_t kNullTailHeader = 0xFFFFFFFF;

enum Code : uint16_t {
  kOk = 0,
  kMalformed = 2,
  kUnknownFlags = 6,
  kTopicNotOpen = 25,
  kUnknownPartition = 27,
  kMessageTooLarge = 30,
  kNotSupported = 34,
  kReservedHeader = 35,
  kInvalidArgument = 50,
  kBeyondHorizon = 53,
};

}  // namespace mq::wire

#pragma once

#include <cstddef>
#include <cstdint>

#include "core/batch-scan.h"

namespace mq {

struct EncodedPayload {
  size_t bytes = 0;
  uint32_t messages = 0;
  uint32_t crc = 0;
};

/// Writes the outbox payload of a scan's accepted messages, little-endian, back to back:
///   record := bodyLength:u32 topic:u16 flags:u8 reserved:u8 body
/// `out` must have room for the scan's payload_bytes().
EncodedPayload encode_payload(const BatchScan& scan, uint8_t* out);

}  // namespace mq

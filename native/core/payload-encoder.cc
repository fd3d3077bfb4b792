#include "core/payload-encoder.h"

#include "core/bytes.h"
#include "core/crc32c.h"

namespace mq {

EncodedPayload encode_payload(const BatchScan& scan, uint8_t* out) {
  EncodedPayload done;
  uint8_t* p = out;
  const uint16_t* topics = scan.tables().message_topics;
  const uint32_t messages = scan.messages();
  for (uint32_t i = 0; i < messages; ++i) {
    if (!scan.accepted(i)) continue;
    const uint32_t length = scan.length(i);
    store_le32(p, length);
    store_le16(p + 4, topics[i]);
    p[6] = scan.flags(i);
    p[7] = 0;
    memcpy(p + BatchScan::kRecordHead, scan.body(i), length);
    p += BatchScan::kRecordHead + length;
    ++done.messages;
  }
  done.bytes = static_cast<size_t>(p - out);
  done.crc = crc32c(out, done.bytes);
  return done;
}

}  // namespace mq

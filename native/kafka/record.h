// A record of the outbox payload, as it is sent to Kafka.
#pragma once

#include <rdkafka.h>

#include <cstddef>
#include <cstdint>

#include "core/bytes.h"
#include "kafka/opaque.h"
#include "kafka/topic.h"

namespace mq::kafka {

/// Bytes of the `mq` header of a message without a due time.
constexpr size_t kIdHeaderBytes = 34;

/// [O] record := bodyLength:u32le topic:u16le flags:u8 reserved:u8 body
///     body   := [partition:u32] [keyLength:u16 key] [headersLength:u16 headers] value
/// With the flag WIDE, which only the node's own records have, both lengths are u32 and the headers
/// are those of a TAIL record: (nameLength:u16 name valueLength:u32 value)*.
struct Record {
  static constexpr size_t kHead = 8;
  static constexpr uint8_t kKey = 0x01;
  static constexpr uint8_t kHeaders = 0x02;
  static constexpr uint8_t kPartition = 0x04;
  static constexpr uint8_t kNullValue = 0x08;
  static constexpr uint8_t kWide = 0x80;

  uint16_t topic;
  uint8_t flags;
  int32_t partition;
  const uint8_t* key;
  size_t key_length;
  const uint8_t* headers;
  size_t headers_length;
  const uint8_t* value;
  size_t value_length;

  /// Two lengths of a header may take a byte more each in Kafka than in the outbox.
  uint8_t header_size() const { return SizeOfHeaders(headers_length + headers_length / 64); }
  int64_t bytes() const {
    return static_cast<int64_t>(key_length + value_length) + HeaderBytes(header_size()) +
           kRecordOverhead;
  }

  /// Reads the record at `*at`, moves `*at` behind it, and borrows its bytes; false when it
  /// overruns `end`.
  bool Parse(const uint8_t** at, const uint8_t* end);
  /// What goes into Kafka: `id_header` as `mq` unless it is null, then its own. Null when there is
  /// none; owned by the caller.
  rd_kafka_headers_t* MakeHeaders(const uint8_t* id_header) const;
};

}  // namespace mq::kafka

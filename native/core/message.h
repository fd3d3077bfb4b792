// One message as PRODUCE and the records of PRODUCE_BATCH carry it:
//   body := [dueKind:u8 due:u64] [partition:u32] [keyLength:u16 key] [headersLength:u16 headers] value
//   headers := (nameLength:u8 name valueLength:u16 value)*, valueLength 0xFFFF = null
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/bytes.h"
#include "core/wire.h"

namespace mq {

struct MessageLimits {
  uint32_t message_bytes_max = 0;
  uint32_t key_bytes_max = 0;
  uint32_t headers_bytes_max = 0;
};

/// What is known of a topic; 0 = not checked.
struct TopicRule {
  uint32_t partitions = 0;
  uint32_t message_bytes_max = 0;
  uint16_t code = 0;
};

/// The parts of a body; null where a flag says that the part is absent. Borrowed from the body.
struct MessageView {
  uint8_t due_kind = 0;
  uint64_t due = 0;
  uint32_t partition = 0;
  const uint8_t* key = nullptr;
  uint32_t key_length = 0;
  const uint8_t* headers = nullptr;
  uint32_t headers_length = 0;
  const uint8_t* value = nullptr;
  uint32_t value_length = 0;
};

/// Finds the parts of a body; false when a length overruns it or a null value has bytes.
inline bool split_message(uint8_t flags, const uint8_t* body, size_t length, MessageView* out) {
  const uint8_t* p = body;
  const uint8_t* const end = body + length;
  if (flags & wire::kDue) {
    if (end - p < 9) return false;
    out->due_kind = p[0];
    out->due = load_be64(p + 1);
    p += 9;
  }
  if (flags & wire::kPartition) {
    if (end - p < 4) return false;
    out->partition = load_be32(p);
    p += 4;
  }
  if (flags & wire::kKey) {
    if (end - p < 2) return false;
    out->key_length = load_be16(p);
    p += 2;
    if (static_cast<size_t>(end - p) < out->key_length) return false;
    out->key = p;
    p += out->key_length;
  }
  if (flags & wire::kHeaders) {
    if (end - p < 2) return false;
    out->headers_length = load_be16(p);
    p += 2;
    if (static_cast<size_t>(end - p) < out->headers_length) return false;
    out->headers = p;
    p += out->headers_length;
  }
  out->value_length = static_cast<uint32_t>(end - p);
  if (flags & wire::kNullValue) return out->value_length == 0;
  out->value = p;
  return true;
}

/// Checks names and lengths of a run of headers: kOk, kMalformed or kReservedHeader.
uint16_t check_headers(const uint8_t* headers, size_t length);

/// How many headers a checked run holds.
size_t count_headers(const uint8_t* headers, size_t length);

/// Checks a whole message: kOk or the code it is refused with. `flags` holds only body flags.
inline uint16_t check_message(uint8_t flags, const uint8_t* body, size_t length,
                              const MessageLimits& limits, const TopicRule& rule) {
  MessageView view;
  if (!split_message(flags, body, length, &view)) return wire::kMalformed;
  uint16_t headers = wire::kOk;
  if (flags & wire::kHeaders) {
    headers = check_headers(view.headers, view.headers_length);
    if (headers == wire::kMalformed) return wire::kMalformed;
  }
  const uint64_t message_bytes =
      uint64_t{view.key_length} + view.headers_length + view.value_length;
  if (message_bytes > limits.message_bytes_max || view.key_length > limits.key_bytes_max ||
      view.headers_length > limits.headers_bytes_max ||
      (rule.message_bytes_max != 0 && message_bytes > rule.message_bytes_max)) {
    return wire::kMessageTooLarge;
  }
  if (headers != wire::kOk) return headers;
  if (rule.code != wire::kOk) return rule.code;
  if (flags & wire::kPartition) {
    if (view.partition > 0x7fffffffu) return wire::kUnknownPartition;
    if (rule.partitions != 0 && view.partition >= rule.partitions) return wire::kUnknownPartition;
  }
  return wire::kOk;
}

}  // namespace mq

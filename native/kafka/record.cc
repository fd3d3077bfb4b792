#include "kafka/record.h"

namespace mq::kafka {
namespace {

constexpr uint16_t kNullHeaderValue = 0xffff;
constexpr uint32_t kNullWideValue = 0xffffffff;

/// A length of two or four bytes and as many bytes; false when they overrun `end`.
bool TakePart(bool wide, const uint8_t** at, const uint8_t* end, const uint8_t** part,
              size_t* length) {
  const ptrdiff_t head = wide ? 4 : 2;
  if (end - *at < head) return false;
  *length = wide ? load_be32(*at) : load_be16(*at);
  if (static_cast<size_t>(end - *at - head) < *length) return false;
  *part = *at + head;
  *at = *part + *length;
  return true;
}

/// Headers as a TAIL record has them.
void AddWideHeaders(rd_kafka_headers_t* headers, const uint8_t* p, const uint8_t* end) {
  while (end - p >= 6) {
    const size_t name_length = load_be16(p);
    const auto* name = reinterpret_cast<const char*>(p + 2);
    if (static_cast<size_t>(end - p) < name_length + 6) return;
    p += 2 + name_length;
    const uint32_t value_length = load_be32(p);
    p += 4;
    if (value_length == kNullWideValue) {
      rd_kafka_header_add(headers, name, static_cast<ssize_t>(name_length), nullptr, 0);
      continue;
    }
    if (static_cast<size_t>(end - p) < value_length) return;
    rd_kafka_header_add(headers, name, static_cast<ssize_t>(name_length), p, value_length);
    p += value_length;
  }
}

}  // namespace

bool Record::Parse(const uint8_t** at, const uint8_t* end) {
  const uint8_t* p = *at;
  if (static_cast<size_t>(end - p) < kHead) return false;
  const size_t length = load_le32(p);
  topic = le16(load<uint16_t>(p + 4));
  flags = p[6];
  p += kHead;
  if (static_cast<size_t>(end - p) < length) return false;
  const uint8_t* body_end = p + length;
  *at = body_end;
  partition = -1;
  key = nullptr;
  key_length = 0;
  headers = nullptr;
  headers_length = 0;
  if (flags & kPartition) {
    if (body_end - p < 4) return false;
    partition = static_cast<int32_t>(load_be32(p) & 0x7fffffff);
    p += 4;
  }
  const bool wide = (flags & kWide) != 0;
  if ((flags & kKey) && !TakePart(wide, &p, body_end, &key, &key_length)) return false;
  if ((flags & kHeaders) && !TakePart(wide, &p, body_end, &headers, &headers_length)) return false;
  value = (flags & kNullValue) ? nullptr : p;
  value_length = static_cast<size_t>(body_end - p);
  return true;
}

rd_kafka_headers_t* Record::MakeHeaders(const uint8_t* id_header) const {
  if (id_header == nullptr && headers_length == 0) return nullptr;
  rd_kafka_headers_t* made = rd_kafka_headers_new(headers_length > 0 ? 4 : 1);
  if (id_header != nullptr) rd_kafka_header_add(made, "mq", 2, id_header, kIdHeaderBytes);
  const uint8_t* p = headers;
  const uint8_t* end = p + headers_length;
  if (flags & kWide) {
    AddWideHeaders(made, p, end);
    return made;
  }
  while (p < end) {
    const size_t name_length = p[0];
    const auto* name = reinterpret_cast<const char*>(p + 1);
    if (end - p < static_cast<ptrdiff_t>(name_length + 3)) break;
    p += 1 + name_length;
    const uint16_t value_length = load_be16(p);
    p += 2;
    if (value_length == kNullHeaderValue) {
      rd_kafka_header_add(made, name, static_cast<ssize_t>(name_length), nullptr, 0);
      continue;
    }
    if (end - p < value_length) break;
    rd_kafka_header_add(made, name, static_cast<ssize_t>(name_length), p, value_length);
    p += value_length;
  }
  return made;
}

}  // namespace mq::kafka

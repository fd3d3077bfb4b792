#include "kafka/tail-record.h"

#include <cstring>

#include "core/bytes.h"

namespace mq::kafka {
namespace {

// [T] record  := length:u32 (what follows) offset:u64 timestampMs:u64 flags:u8
//                [id: producerId:u64 epoch:u16 sequence:u48]
//                [keyLength:u32 key] [headersLength:u32 headers] value
//     headers := (nameLength:u16 name valueLength:u32 value)*; valueLength 0xffffffff = null
constexpr size_t kFixed = 4 + 8 + 8 + 1;
constexpr uint8_t kKey = 0x01;
constexpr uint8_t kHeaders = 0x02;
constexpr uint8_t kNullValue = 0x08;
constexpr uint8_t kId = 0x40;
constexpr uint32_t kNull = 0xffffffff;
constexpr size_t kIdBytes = 16;
constexpr size_t kIdHeaderMin = 34;
constexpr uint8_t kIdHeaderVersion = 1;
constexpr size_t kNameMax = 0xffff;

struct Header {
  const char* name = nullptr;
  size_t name_length = 0;
  const uint8_t* value = nullptr;
  size_t value_length = 0;
};

bool HeaderAt(const rd_kafka_headers_t* headers, size_t i, Header* header) {
  const void* value = nullptr;
  if (rd_kafka_header_get_all(headers, i, &header->name, &value, &header->value_length) !=
      RD_KAFKA_RESP_ERR_NO_ERROR) {
    return false;
  }
  header->name_length = strnlen(header->name, kNameMax);
  header->value = static_cast<const uint8_t*>(value);
  return true;
}

bool IsId(const Header& header) {
  return header.name_length == 2 && memcmp(header.name, "mq", 2) == 0 &&
         header.value != nullptr && header.value_length >= kIdHeaderMin &&
         header.value[0] == kIdHeaderVersion;
}

const rd_kafka_headers_t* HeadersOf(const rd_kafka_message_t* message) {
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return nullptr;
  return headers;
}

void Append(std::vector<uint8_t>* out, const void* bytes, size_t length) {
  const auto* p = static_cast<const uint8_t*>(bytes);
  out->insert(out->end(), p, p + length);
}

void AppendU32(std::vector<uint8_t>* out, uint32_t value) {
  const uint32_t swapped = be32(value);
  Append(out, &swapped, 4);
}

void AppendHeader(std::vector<uint8_t>* out, const Header& header) {
  const uint16_t length = be16(static_cast<uint16_t>(header.name_length));
  Append(out, &length, 2);
  Append(out, header.name, header.name_length);
  AppendU32(out, header.value == nullptr ? kNull : static_cast<uint32_t>(header.value_length));
  if (header.value != nullptr) Append(out, header.value, header.value_length);
}

/// Those but the id are appended, with their length before them.
void AppendHeaders(std::vector<uint8_t>* out, const rd_kafka_headers_t* headers, size_t id_index) {
  const size_t at = out->size();
  AppendU32(out, 0);
  Header header;
  for (size_t i = 0; HeaderAt(headers, i, &header); i++) {
    if (i != id_index) AppendHeader(out, header);
  }
  store_be32(out->data() + at, static_cast<uint32_t>(out->size() - at - 4));
}

}  // namespace

void AppendTailRecord(const rd_kafka_message_t* message, std::vector<uint8_t>* out) {
  const rd_kafka_headers_t* headers = HeadersOf(message);
  const size_t count = headers == nullptr ? 0 : rd_kafka_header_cnt(headers);
  Header id;
  size_t id_index = count;
  for (size_t i = 0; i < count && id_index == count; i++) {
    if (HeaderAt(headers, i, &id) && IsId(id)) id_index = i;
  }
  const bool has_id = id_index < count;
  const bool has_headers = count > (has_id ? 1u : 0u);
  rd_kafka_timestamp_type_t type;
  const int64_t timestamp = rd_kafka_message_timestamp(message, &type);
  uint8_t flags = 0;
  if (message->key != nullptr) flags |= kKey;
  if (has_headers) flags |= kHeaders;
  if (message->payload == nullptr) flags |= kNullValue;
  if (has_id) flags |= kId;

  const size_t start = out->size();
  uint8_t head[kFixed];
  store_be64(head + 4, static_cast<uint64_t>(message->offset));
  store_be64(head + 12, timestamp < 0 ? 0 : static_cast<uint64_t>(timestamp));
  head[20] = flags;
  Append(out, head, kFixed);
  // version flags | producerId epoch sequence | …
  if (has_id) Append(out, id.value + 2, kIdBytes);
  if (message->key != nullptr) {
    AppendU32(out, static_cast<uint32_t>(message->key_len));
    Append(out, message->key, message->key_len);
  }
  if (has_headers) AppendHeaders(out, headers, id_index);
  if (message->payload != nullptr) Append(out, message->payload, message->len);
  store_be32(out->data() + start, static_cast<uint32_t>(out->size() - start - 4));
}

size_t TailRecordBytesMax(const rd_kafka_message_t* message) {
  size_t bytes = kFixed + kIdBytes + 8 + message->key_len + message->len;
  const rd_kafka_headers_t* headers = HeadersOf(message);
  Header header;
  for (size_t i = 0; headers != nullptr && HeaderAt(headers, i, &header); i++) {
    bytes += 6 + header.name_length + header.value_length;
  }
  return bytes;
}

}  // namespace mq::kafka

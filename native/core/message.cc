#include "core/message.h"

#include "core/utf8.h"

namespace mq {
namespace {

/// `mq` is ours on every produced record, names beginning with `mq-` are for moved records.
bool is_reserved(const uint8_t* name, size_t length) {
  if (length < 2 || name[0] != 'm' || name[1] != 'q') return false;
  return length == 2 || name[2] == '-';
}

}  // namespace

uint16_t check_headers(const uint8_t* headers, size_t length) {
  const uint8_t* p = headers;
  const uint8_t* const end = headers + length;
  uint16_t code = wire::kOk;
  while (p < end) {
    const size_t name_length = *p++;
    if (name_length == 0) return wire::kMalformed;
    if (static_cast<size_t>(end - p) < name_length + 2) return wire::kMalformed;
    if (!is_utf8(p, name_length)) return wire::kMalformed;
    if (is_reserved(p, name_length)) code = wire::kReservedHeader;
    p += name_length;
    const uint16_t value_length = load_be16(p);
    p += 2;
    if (value_length == wire::kNullHeader) continue;
    if (static_cast<size_t>(end - p) < value_length) return wire::kMalformed;
    p += value_length;
  }
  return code;
}

size_t count_headers(const uint8_t* headers, size_t length) {
  size_t count = 0;
  const uint8_t* p = headers;
  const uint8_t* const end = headers + length;
  while (p < end) {
    p += 1 + *p;
    const uint16_t value_length = load_be16(p);
    p += 2 + (value_length == wire::kNullHeader ? 0 : value_length);
    ++count;
  }
  return count;
}

}  // namespace mq

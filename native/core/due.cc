#include "core/due.h"

#include <algorithm>

#include "core/murmur2.h"
#include "core/sha256.h"

namespace mq {
namespace {

constexpr uint8_t kKindMask = 0x0F;
constexpr uint8_t kKindDelay = 0;
constexpr uint8_t kKindTime = 1;
constexpr uint8_t kKindLevel = 2;
constexpr uint8_t kUnique = 0x40;
constexpr uint8_t kIfAbsent = 0x80;
constexpr uint64_t kHorizonMs = 34'560'000'000;
constexpr uint64_t kTimeMax = (uint64_t{1} << 53) - 1;
/// Key and headers together: with `mq-to` they must fit a u16.
constexpr uint32_t kSideBytesMax = 65'000;

constexpr size_t kNameBytes = 16;
constexpr size_t kMqBytes = 42;
constexpr uint8_t kMqVersion = 1;
constexpr uint8_t kMqDue = 0x01;
constexpr char kHeaderName[] = "mq-to";
constexpr size_t kHeaderNameBytes = sizeof kHeaderName - 1;

size_t target_bytes(uint8_t flags, const MessageView& view, size_t target_length) {
  size_t bytes = 2 + kMqBytes + 1 + target_length;
  if (flags & wire::kPartition) bytes += 4;
  if (flags & wire::kKey) bytes += 2 + view.key_length;
  return bytes;
}

// [P-6.15] delay-id := version:u8(=1) partition:u8 kind:u8 0:u40 name:16
void write_delay_id(uint8_t* out, const MessageView& view, const DueOrigin& origin) {
  uint8_t* name = out + 8;
  memset(out, 0, 8);
  out[0] = 1;
  if (view.due_kind & kUnique) {
    const uint8_t zero = 0;
    uint8_t hash[32];
    Sha256 sha;
    sha.update(reinterpret_cast<const uint8_t*>(origin.target->data()), origin.target->size());
    sha.update(&zero, 1);
    sha.update(view.key, view.key_length);
    sha.finish(hash);
    memcpy(name, hash, kNameBytes);
    out[2] = 1;
  } else {
    memcpy(name, origin.producer, 10);
    store_be48(name + 10, origin.sequence);
    out[2] = (view.due_kind & kKindMask) == kKindLevel ? 3 : 0;
  }
  out[1] = static_cast<uint8_t>(partition_of(name, kNameBytes, kDelayPartitions));
}

// [P-8.2] mq-to := version:u8(=1) flags:u8 mq:42 topicLength:u8 topic [partition:u32]
//                  [keyLength:u16 key]
uint8_t* write_target(uint8_t* p, uint8_t flags, const MessageView& view, const DueRules& rules,
                      const DueOrigin& origin) {
  const uint64_t due_ms = (view.due_kind & kKindMask) == kKindTime
                              ? view.due
                              : origin.accepted_ms + view.due;
  p[0] = 1;
  p[1] = static_cast<uint8_t>((flags & (wire::kKey | wire::kPartition | wire::kNullValue)) |
                              (view.due_kind & kIfAbsent));
  p[2] = kMqVersion;
  p[3] = kMqDue;
  memcpy(p + 4, origin.producer, 10);
  store_be48(p + 14, origin.sequence);
  memcpy(p + 20, rules.origin_node, 8);
  store_be64(p + 28, origin.accepted_ms);
  store_be64(p + 36, due_ms);
  p += 2 + kMqBytes;
  *p++ = static_cast<uint8_t>(origin.target->size());
  memcpy(p, origin.target->data(), origin.target->size());
  p += origin.target->size();
  if (flags & wire::kPartition) {
    store_be32(p, view.partition);
    p += 4;
  }
  if (flags & wire::kKey) {
    store_be16(p, static_cast<uint16_t>(view.key_length));
    memcpy(p + 2, view.key, view.key_length);
    p += 2 + view.key_length;
  }
  return p;
}

}  // namespace

uint16_t check_due(uint8_t flags, const MessageView& view, const DueRules& rules,
                   uint64_t now_ms) {
  if (rules.topic == 0) return wire::kNotSupported;
  const uint8_t kind = view.due_kind & kKindMask;
  const bool unique = (view.due_kind & kUnique) != 0;
  const bool if_absent = (view.due_kind & kIfAbsent) != 0;
  if (kind > kKindLevel || (view.due_kind & 0x30) != 0) return wire::kInvalidArgument;
  if (unique && (kind == kKindLevel || !(flags & wire::kKey))) return wire::kInvalidArgument;
  if (if_absent && !unique) return wire::kInvalidArgument;
  if (kind == kKindLevel) {
    const bool known =
        std::find(rules.levels.begin(), rules.levels.end(), view.due) != rules.levels.end();
    if (!known) return wire::kInvalidArgument;
  }
  if (view.due > kTimeMax) return wire::kBeyondHorizon;
  const uint64_t ahead =
      kind != kKindTime ? view.due : (view.due > now_ms ? view.due - now_ms : 0);
  if (ahead > kHorizonMs) return wire::kBeyondHorizon;
  if (view.key_length + view.headers_length > kSideBytesMax) return wire::kMessageTooLarge;
  return wire::kOk;
}

size_t due_body_bytes(uint8_t flags, const MessageView& view, size_t target_length) {
  return 4 + 2 + kDelayIdBytes + 2 + view.headers_length + 1 + kHeaderNameBytes + 2 +
         target_bytes(flags, view, target_length) + view.value_length;
}

void write_due_body(uint8_t* out, uint8_t flags, const MessageView& view, const DueRules& rules,
                    const DueOrigin& origin) {
  uint8_t* id = out + 6;
  write_delay_id(id, view, origin);
  store_be32(out, id[1]);
  store_be16(out + 4, kDelayIdBytes);
  uint8_t* p = id + kDelayIdBytes;
  const size_t target = target_bytes(flags, view, origin.target->size());
  const size_t headers = view.headers_length + 1 + kHeaderNameBytes + 2 + target;
  store_be16(p, static_cast<uint16_t>(headers));
  p += 2;
  // Ours comes first, so that a reader finds it without reading the user's.
  *p++ = static_cast<uint8_t>(kHeaderNameBytes);
  memcpy(p, kHeaderName, kHeaderNameBytes);
  p += kHeaderNameBytes;
  store_be16(p, static_cast<uint16_t>(target));
  p = write_target(p + 2, flags, view, rules, origin);
  if (view.headers_length != 0) memcpy(p, view.headers, view.headers_length);
  p += view.headers_length;
  if (view.value_length != 0) memcpy(p, view.value, view.value_length);
}

}  // namespace mq

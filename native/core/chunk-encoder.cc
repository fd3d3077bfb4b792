#include "core/chunk-encoder.h"

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/murmur2.h"

namespace mq {
namespace {

constexpr size_t kIdBytes = 16;
// length offset timestampMs flags id
constexpr size_t kRecordHead = 4 + 8 + 8 + 1 + kIdBytes;
// A header's two length fields grow from u8 and u16 to u16 and u32.
constexpr size_t kHeaderGrowth = 3;
constexpr double kOffsetMax = 9007199254740991.0;

size_t record_bytes(uint8_t flags, const MessageView& view) {
  size_t bytes = kRecordHead + view.value_length;
  if (flags & wire::kKey) bytes += 4 + view.key_length;
  if (flags & wire::kHeaders) {
    const size_t headers = count_headers(view.headers, view.headers_length);
    bytes += 4 + view.headers_length + kHeaderGrowth * headers;
  }
  return bytes;
}

uint8_t* write_headers(uint8_t* out, const uint8_t* headers, size_t length) {
  uint8_t* p = out + 4;
  const uint8_t* from = headers;
  const uint8_t* const end = headers + length;
  while (from < end) {
    const size_t name_length = *from++;
    store_be16(p, static_cast<uint16_t>(name_length));
    memcpy(p + 2, from, name_length);
    p += 2 + name_length;
    from += name_length;
    const uint16_t value_length = load_be16(from);
    from += 2;
    if (value_length == wire::kNullHeader) {
      store_be32(p, wire::kNullTailHeader);
      p += 4;
      continue;
    }
    store_be32(p, value_length);
    memcpy(p + 4, from, value_length);
    p += 4 + value_length;
    from += value_length;
  }
  store_be32(out, static_cast<uint32_t>(p - out - 4));
  return p;
}

/// Writes what follows the id; returns the end.
uint8_t* write_body(uint8_t* p, uint8_t flags, const MessageView& view) {
  if (flags & wire::kKey) {
    store_be32(p, view.key_length);
    memcpy(p + 4, view.key, view.key_length);
    p += 4 + view.key_length;
  }
  if (flags & wire::kHeaders) p = write_headers(p, view.headers, view.headers_length);
  if (view.value_length != 0) memcpy(p, view.value, view.value_length);
  return p + view.value_length;
}

}  // namespace

const char* ChunkEncoder::place(const BatchScan& scan, const ChunkPlan& plan) {
  placed_.clear();
  places_.clear();
  chunk_table_.clear();
  used_slots_.clear();
  bytes_ = 0;
  if (const char* wrong = prepare(scan, plan)) return wrong;
  SegmentCursor cursor;
  for (uint32_t segment = 0; segment < scan.segments(); ++segment) {
    if (const char* wrong = place_segment(scan, plan, segment, &cursor)) return wrong;
  }
  if (cursor.segment != plan.accepted_segment_count) {
    return "acceptedSegments count more messages than are accepted";
  }
  lay_out();
  return nullptr;
}

/// Checks the plan's shape and makes a slot for each partition of each topic of the scan.
const char* ChunkEncoder::prepare(const BatchScan& scan, const ChunkPlan& plan) {
  if (plan.ids_bytes != plan.accepted_segment_count * kIdBytes) {
    return "ids must have 16 bytes for each accepted segment";
  }
  for (size_t i = 0; i < plan.accepted_segment_count; ++i) {
    if (plan.accepted_segments[i] < 1) return "an accepted segment is empty";
  }
  if (plan.topic_count < scan.topic_count()) return "partitions do not cover the scan's topics";
  slot_base_.clear();
  slots_.clear();
  for (uint32_t topic = 0; topic < scan.topic_count(); ++topic) {
    const int32_t partitions = plan.partitions[topic];
    const size_t base = slots_.size();
    if (partitions < 1) return "a topic has no partition";
    if (plan.offset_count - base < static_cast<size_t>(partitions)) {
      return "nextOffsets do not cover the partitions";
    }
    slot_base_.push_back(static_cast<uint32_t>(base));
    for (int32_t partition = 0; partition < partitions; ++partition) {
      const double offset = plan.next_offsets[base + static_cast<size_t>(partition)];
      if (!(offset >= 0 && offset <= kOffsetMax)) return "an offset is not a whole number from 0";
      Slot slot;
      slot.partition = static_cast<uint32_t>(partition);
      slot.base_offset = static_cast<uint64_t>(offset);
      slots_.push_back(slot);
    }
  }
  return nullptr;
}

const char* ChunkEncoder::place_segment(const BatchScan& scan, const ChunkPlan& plan,
                                        uint32_t segment, SegmentCursor* cursor) {
  const int32_t* ints = scan.tables().segments + segment * kSegmentInts;
  const auto connection = static_cast<uint32_t>(ints[kSegConnection]);
  const auto first = static_cast<uint32_t>(ints[kSegOrdinal]);
  const auto count = static_cast<uint32_t>(ints[kSegCount]);
  if (first > scan.messages() || count > scan.messages() - first) return "a segment was changed";
  bool may_join = false;
  for (uint32_t ordinal = first; ordinal < first + count; ++ordinal) {
    if (!scan.accepted(ordinal)) continue;
    if (cursor->segment == plan.accepted_segment_count) {
      return "acceptedSegments count fewer messages than are accepted";
    }
    const uint8_t flags = scan.flags(ordinal);
    MessageView view;
    split_message(flags, scan.body(ordinal), scan.length(ordinal), &view);
    const uint16_t topic = scan.tables().message_topics[ordinal];
    const uint32_t index = scan.topic_index(topic);
    if (index >= slot_base_.size()) return "a message's topic was changed";
    const auto partitions = static_cast<uint32_t>(plan.partitions[index]);
    uint32_t partition;
    if (flags & wire::kPartition) {
      if (view.partition >= partitions) return "a message names a partition that is not there";
      partition = view.partition;
    } else if (flags & wire::kKey) {
      partition = partition_of(view.key, view.key_length, partitions);
    } else {
      partition = (plan.sticky + connection) % partitions;
    }
    const uint32_t slot_index = slot_base_[index] + partition;
    Slot& slot = slots_[slot_index];
    if (slot.messages == 0) {
      slot.topic = topic;
      used_slots_.push_back(slot_index);
    }
    const size_t length = record_bytes(flags, view);
    add_place(ordinal, slot_index, slot.base_offset + slot.messages, may_join);
    may_join = true;
    placed_.push_back(Placed{ordinal, slot_index, static_cast<uint32_t>(length),
                             static_cast<uint32_t>(cursor->segment), cursor->index});
    slot.messages += 1;
    slot.bytes += length;
    cursor->index += 1;
    if (cursor->index == static_cast<uint32_t>(plan.accepted_segments[cursor->segment])) {
      cursor->index = 0;
      cursor->segment += 1;
    }
  }
  return nullptr;
}

void ChunkEncoder::add_place(uint32_t ordinal, uint32_t slot, uint64_t offset, bool may_join) {
  if (may_join && slot == last_slot_) {
    double* row = &places_[places_.size() - kPlaceColumns];
    // Within one slot offsets follow each other; only the message numbers can have a gap.
    if (row[0] + row[1] == ordinal) {
      row[1] += 1;
      return;
    }
  }
  last_slot_ = slot;
  places_.push_back(ordinal);
  places_.push_back(1);
  places_.push_back(slots_[slot].partition);
  places_.push_back(static_cast<double>(offset));
}

/// Gives every used slot its stretch of the bytes, in the order of first use.
void ChunkEncoder::lay_out() {
  size_t start = 0;
  for (const uint32_t index : used_slots_) {
    Slot& slot = slots_[index];
    slot.cursor = start;
    slot.next_offset = slot.base_offset;
    start += slot.bytes;
  }
  bytes_ = start;
}

void ChunkEncoder::write(const BatchScan& scan, const ChunkPlan& plan, uint8_t* out) {
  for (const Placed& placed : placed_) {
    Slot& slot = slots_[placed.slot];
    const uint8_t flags = scan.flags(placed.ordinal);
    MessageView view;
    split_message(flags, scan.body(placed.ordinal), scan.length(placed.ordinal), &view);
    uint8_t* p = out + slot.cursor;
    store_be32(p, placed.length - 4);
    store_be64(p + 4, slot.next_offset);
    store_be64(p + 12, plan.timestamp_ms);
    p[20] = static_cast<uint8_t>((flags & (wire::kKey | wire::kHeaders | wire::kNullValue)) |
                                 wire::kId);
    const uint8_t* id = plan.ids + placed.accepted_segment * kIdBytes;
    memcpy(p + 21, id, 10);
    store_be48(p + 31, load_be48(id + 10) + placed.index_in_segment);
    write_body(p + kRecordHead, flags, view);
    slot.cursor += placed.length;
    slot.next_offset += 1;
  }
  for (const uint32_t index : used_slots_) {
    const Slot& slot = slots_[index];
    const size_t start = slot.cursor - slot.bytes;
    const uint32_t crc = crc32c(out + start, slot.bytes);
    const double row[kChunkColumns] = {static_cast<double>(slot.topic),
                                       static_cast<double>(slot.partition),
                                       static_cast<double>(slot.base_offset),
                                       static_cast<double>(slot.messages),
                                       static_cast<double>(start),
                                       static_cast<double>(slot.bytes),
                                       static_cast<double>(crc)};
    chunk_table_.insert(chunk_table_.end(), row, row + kChunkColumns);
  }
}

}  // namespace mq

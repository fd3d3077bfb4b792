// The embedded log's chunks: a scan's accepted messages as TAIL wire records, grouped by topic and
// partition, each group (chunk) with its base offset.
//   record := length:u32 offset:u64 timestampMs:u64 flags:u8 id [keyLength:u32 key]
//             [headersLength:u32 headers] value            (length counts what follows it)
//   id := producerId:u64 epoch:u16 sequence:u48
//   headers := (nameLength:u16 name valueLength:u32 value)*, valueLength 0xFFFFFFFF = null
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/batch-scan.h"

namespace mq {

/// What is written where; all arrays are borrowed for the call.
struct ChunkPlan {
  const uint8_t* ids = nullptr;  // 16 bytes an accepted segment
  size_t ids_bytes = 0;
  const int32_t* accepted_segments = nullptr;  // messages of each
  size_t accepted_segment_count = 0;
  const int32_t* partitions = nullptr;  // of each topic of the scan
  size_t topic_count = 0;
  const double* next_offsets = nullptr;  // of each partition of each topic
  size_t offset_count = 0;
  uint32_t sticky = 0;
  uint64_t timestamp_ms = 0;
};

class ChunkEncoder {
 public:
  static constexpr size_t kChunkColumns = 7;
  static constexpr size_t kPlaceColumns = 4;

  /// Decides where every accepted message goes and how many bytes all records take. Returns null,
  /// or what does not fit in the plan.
  const char* place(const BatchScan& scan, const ChunkPlan& plan);

  /// Of the last place(): what write() needs room for.
  size_t bytes() const { return bytes_; }
  uint32_t messages() const { return static_cast<uint32_t>(placed_.size()); }

  /// Writes the records that place() placed and completes the chunk table.
  void write(const BatchScan& scan, const ChunkPlan& plan, uint8_t* out);

  /// Rows [topic, partition, baseOffset, messages, byteStart, byteLength, crc].
  const std::vector<double>& chunk_table() const { return chunk_table_; }
  /// Rows [ordinal, count, partition, offset] in message order.
  const std::vector<double>& places() const { return places_; }

 private:
  /// One partition of one topic.
  struct Slot {
    uint16_t topic = 0;
    uint32_t partition = 0;
    uint64_t base_offset = 0;
    uint32_t messages = 0;
    size_t bytes = 0;
    // While writing.
    size_t cursor = 0;
    uint64_t next_offset = 0;
  };
  struct Placed {
    uint32_t ordinal;
    uint32_t slot;
    uint32_t length;
    uint32_t accepted_segment;
    uint32_t index_in_segment;
  };
  struct SegmentCursor {
    size_t segment = 0;
    uint32_t index = 0;
  };

  const char* prepare(const BatchScan& scan, const ChunkPlan& plan);
  const char* place_segment(const BatchScan& scan, const ChunkPlan& plan, uint32_t segment,
                            SegmentCursor* cursor);
  void add_place(uint32_t ordinal, uint32_t slot, uint64_t offset, bool may_join);
  void lay_out();

  std::vector<Slot> slots_;
  std::vector<uint32_t> slot_base_;  // of each topic of the scan
  std::vector<uint32_t> used_slots_;
  std::vector<Placed> placed_;
  std::vector<double> chunk_table_;
  std::vector<double> places_;
  uint32_t last_slot_ = 0;
  size_t bytes_ = 0;
};

}  // namespace mq

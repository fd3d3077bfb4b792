// Scanning a stretch of a lane's ring: every message is checked, indexed, and the whole is split
// into segments. What the ring holds came from peers; only the ring's own entry headers are ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/due.h"
#include "core/message.h"

namespace mq {

/// The ints of a segment; src/native/batch-builder.ts names them the same.
enum SegmentField : size_t {
  kSegConnection = 0,
  kSegOrdinal = 1,
  kSegCount = 2,
  kSegCorrelationId = 3,
  kSegSequenceLow = 4,
  kSegSequenceHigh = 5,
  kSegLevel = 6,
  kSegCode = 7,
  kSegPayloadBytes = 8,
  kSegTopic = 9,
  kSegDue = 10,
  kSegmentInts = 12,
};

/// Where the body of a message lies: in the ring, or, rewritten, in the scan's own memory.
struct MessageRef {
  uint32_t offset;
  uint32_t length;
};

/// Whose the accepted messages are; all arrays are borrowed for the call.
struct AcceptedIds {
  const uint8_t* ids = nullptr;  // 16 bytes an accepted segment
  size_t ids_bytes = 0;
  const int32_t* segments = nullptr;  // messages of each
  size_t segment_count = 0;
};

/// Tables that JavaScript reads (and, for `accept`, writes); owned by the caller, as long as the
/// scan lives, each with room for the maximum.
struct ScanTables {
  int32_t* segments = nullptr;
  uint8_t* accept = nullptr;
  uint16_t* message_topics = nullptr;
  int32_t* topics = nullptr;
  int32_t* topic_messages = nullptr;
};

class BatchScan {
 public:
  /// Bytes of a record of the outbox payload before its body.
  static constexpr uint32_t kRecordHead = 8;
  /// In `flags`, for messages that must never be encoded.
  static constexpr uint8_t kRefused = 0xFF;

  BatchScan(const MessageLimits& limits, uint32_t messages_max, uint32_t segments_max,
            const ScanTables& tables);

  void set_topic(uint16_t topic, const TopicRule& rule);
  /// Its name, which delayed messages for it carry.
  void set_topic_name(uint16_t topic, const std::string& name);
  void set_due(const DueRules& rules) { due_rules_ = rules; }

  /// Reads entries from `from` to `to`; see BatchBuilder.scan. Returns null, or what is wrong with
  /// the ring itself: then nothing of the scan counts.
  const char* scan(const uint8_t* ring, size_t ring_bytes, size_t from, size_t to,
                   uint64_t bytes_max, uint64_t now_ms);

  /// Turns the accepted delayed messages into records of the delay log, before they are encoded.
  /// Returns null, or what does not fit the scan.
  const char* rewrite_due(const AcceptedIds& accepted, uint64_t accepted_ms);

  uint32_t segments() const { return segments_; }
  uint32_t messages() const { return messages_; }
  uint32_t topic_count() const { return static_cast<uint32_t>(used_topics_.size()); }
  uint64_t payload_bytes() const { return payload_bytes_; }
  size_t consumed() const { return consumed_; }

  const ScanTables& tables() const { return tables_; }
  uint32_t due_messages() const { return due_messages_; }
  /// The body of a message and its length; borrowed from the ring or the scan.
  const uint8_t* body(uint32_t ordinal) const {
    const uint8_t* from = is_rewritten(ordinal) ? rewritten_.data() : ring_;
    return from + refs_[ordinal].offset;
  }
  uint32_t length(uint32_t ordinal) const { return refs_[ordinal].length; }
  uint8_t flags(uint32_t ordinal) const { return flags_[ordinal]; }
  bool accepted(uint32_t ordinal) const {
    return tables_.accept[ordinal] != 0 && flags_[ordinal] != kRefused;
  }
  /// Index of a topic in `topics`; only for topics of valid messages.
  uint32_t topic_index(uint16_t topic) const { return topic_index_[topic] - 1u; }

 private:
  struct Entry {
    uint32_t connection;
    const uint8_t* payload;
    size_t bytes;
  };
  /// A message as its frame or record announces it, before its body was looked at.
  struct Incoming {
    uint64_t sequence;
    uint32_t correlation_id;
    uint16_t topic;
    uint8_t flags;
    uint8_t level;
    const uint8_t* body;
    size_t length;
  };
  bool is_rewritten(uint32_t ordinal) const {
    return due_messages_ != 0 && due_targets_[ordinal] != 0 && !(flags_[ordinal] & wire::kDue);
  }
  /// Where an entry was left because a table was full.
  struct Cursor {
    bool active = false;
    size_t entry = 0;
    size_t frame = 0;
    uint32_t record = 0;
  };
  enum class Step { kGoOn, kEntryEnds, kFull };

  void reset();
  bool walk_entry(const Entry& entry, size_t position);
  Step walk_frame(const Entry& entry, size_t* offset);
  Step walk_produce(const Entry& entry, const uint8_t* frame, size_t length);
  Step walk_batch(const Entry& entry, const uint8_t* frame, size_t length);
  Step walk_records(const Entry& entry, const uint8_t* frame);
  Step add_checked(const Entry& entry, const Incoming& in);
  Step add_fatal(const Entry& entry, uint16_t code, uint32_t correlation_id, uint64_t sequence);
  bool extend(uint32_t connection, const Incoming& in, uint16_t code);
  uint16_t check(Incoming* in, uint16_t* target);
  void index(const Incoming& in, uint16_t target);
  void count_topic(uint16_t topic);

  const MessageLimits limits_;
  const uint32_t messages_max_;
  const uint32_t segments_max_;
  const ScanTables tables_;
  std::vector<MessageRef> refs_;
  std::vector<uint8_t> flags_;
  /// The topic a delayed message is for; 0 for all others.
  std::vector<uint16_t> due_targets_;
  std::vector<uint8_t> rewritten_;
  std::vector<std::string> names_;
  DueRules due_rules_;
  uint32_t due_messages_ = 0;
  uint64_t now_ms_ = 0;
  std::vector<TopicRule> rules_;
  std::vector<uint16_t> topic_index_;
  std::vector<uint16_t> used_topics_;

  const uint8_t* ring_ = nullptr;
  uint32_t segments_ = 0;
  uint32_t messages_ = 0;
  uint64_t payload_bytes_ = 0;
  size_t consumed_ = 0;
  Cursor cursor_;

  // The open segment, beside its ints: what the next message must have to belong to it.
  int32_t* open_ = nullptr;
  uint32_t open_connection_ = 0;
  uint32_t next_correlation_id_ = 0;
  uint64_t next_sequence_ = 0;
  uint8_t open_level_ = 0;
  uint16_t open_code_ = 0;
  bool open_due_ = false;
};

}  // namespace mq

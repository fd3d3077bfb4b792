#include "core/batch-scan.h"

#include "core/bytes.h"

namespace mq {
namespace {

constexpr size_t kEntryHead = 16;
constexpr uint32_t kKindFrames = 1;
constexpr uint32_t kKindSkip = 0xFFFFFFFF;

// record := length:u32 flags:u8 body
constexpr size_t kRecordLength = 4;
constexpr size_t kRecordFlags = 1;
// PRODUCE: sequence:u48 body
constexpr size_t kSequence = 6;
// PRODUCE_BATCH: firstSequence:u48 count:u16 record*
constexpr size_t kBatchHead = 8;

bool is_fatal(uint16_t code) { return code == wire::kMalformed || code == wire::kUnknownFlags; }

/// Whether the lengths of `count` records add up to exactly `length`.
bool records_add_up(const uint8_t* records, size_t length, uint32_t count) {
  size_t offset = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (length - offset < kRecordLength) return false;
    const size_t record = load_be32(records + offset);
    offset += kRecordLength;
    if (record < kRecordFlags || record > length - offset) return false;
    offset += record;
  }
  return offset == length;
}

}  // namespace

BatchScan::BatchScan(const MessageLimits& limits, uint32_t messages_max, uint32_t segments_max,
                     const ScanTables& tables)
    : limits_(limits),
      messages_max_(messages_max),
      segments_max_(segments_max),
      tables_(tables),
      refs_(messages_max),
      flags_(messages_max),
      due_targets_(messages_max),
      rules_(256),
      topic_index_(65536) {
  used_topics_.reserve(1024);
}

void BatchScan::set_topic(uint16_t topic, const TopicRule& rule) {
  if (topic >= rules_.size()) rules_.resize(static_cast<size_t>(topic) + 256);
  rules_[topic] = rule;
}

void BatchScan::set_topic_name(uint16_t topic, const std::string& name) {
  if (topic >= names_.size()) names_.resize(static_cast<size_t>(topic) + 256);
  names_[topic] = name;
}

void BatchScan::reset() {
  for (const uint16_t topic : used_topics_) topic_index_[topic] = 0;
  used_topics_.clear();
  segments_ = 0;
  messages_ = 0;
  payload_bytes_ = 0;
  due_messages_ = 0;
  rewritten_.clear();
  open_ = nullptr;
}

const char* BatchScan::scan(const uint8_t* ring, size_t ring_bytes, size_t from, size_t to,
                            uint64_t bytes_max, uint64_t now_ms) {
  reset();
  now_ms_ = now_ms;
  if (ring_bytes > 0xFFFFFFFFu) return "the ring is larger than 4 GiB";
  if (from >= ring_bytes || to >= ring_bytes) return "a position lies outside the ring";
  if (!cursor_.active || cursor_.entry != from) cursor_ = Cursor();
  ring_ = ring;
  consumed_ = from;
  uint64_t taken = 0;
  bool wrapped = false;
  bool any = false;
  size_t position = from;
  while (position != to) {
    const size_t left = ring_bytes - position;
    const uint8_t* head = ring + position;
    if (left < kEntryHead || load_le32(head + 12) == kKindSkip) {
      if (wrapped || position < to) return "a skip inside the ring's filled part";
      wrapped = true;
      position = consumed_ = 0;
      continue;
    }
    const size_t bytes = load_le32(head);
    if (load_le32(head + 12) != kKindFrames) return "an entry of an unknown kind";
    if (bytes > left - kEntryHead) return "an entry reaches over the ring's end";
    size_t next = position + ((kEntryHead + bytes + 7) & ~size_t{7});
    if (next > ring_bytes) return "an entry reaches over the ring's end";
    if (position < to && next > to) return "an entry reaches over the write position";
    if (any && taken + bytes > bytes_max) break;
    any = true;
    taken += bytes;
    const Entry entry{load_le32(head + 4), head + kEntryHead, bytes};
    if (!walk_entry(entry, position)) break;
    position = consumed_ = next == ring_bytes ? 0 : next;
  }
  return nullptr;
}

/// False when a table is full: the cursor then says where to go on.
bool BatchScan::walk_entry(const Entry& entry, size_t position) {
  size_t offset = cursor_.frame;
  while (offset < entry.bytes) {
    const size_t frame = offset;
    const Step step = walk_frame(entry, &offset);
    if (step == Step::kEntryEnds) break;
    if (step == Step::kFull) {
      cursor_.active = true;
      cursor_.entry = position;
      cursor_.frame = frame;
      return false;
    }
  }
  cursor_ = Cursor();
  return true;
}

BatchScan::Step BatchScan::walk_frame(const Entry& entry, size_t* offset) {
  const uint8_t* frame = entry.payload + *offset;
  const size_t left = entry.bytes - *offset;
  if (left < wire::kFrameHead) return add_fatal(entry, wire::kMalformed, 0, 0);
  const size_t length = load_be32(frame);
  if (length < wire::kCountedHead || length > left - 4) {
    return add_fatal(entry, wire::kMalformed, load_be32(frame + 8), 0);
  }
  *offset += 4 + length;
  const size_t body = length - wire::kCountedHead;
  if (frame[4] == wire::kProduce) return walk_produce(entry, frame, body);
  if (frame[4] == wire::kProduceBatch) return walk_batch(entry, frame, body);
  return add_fatal(entry, wire::kMalformed, load_be32(frame + 8), 0);
}

BatchScan::Step BatchScan::walk_produce(const Entry& entry, const uint8_t* frame, size_t length) {
  const uint8_t flags = frame[5];
  const uint32_t correlation_id = load_be32(frame + 8);
  if (length < kSequence) return add_fatal(entry, wire::kMalformed, correlation_id, 0);
  const uint8_t* body = frame + wire::kFrameHead;
  const uint64_t sequence = load_be48(body);
  if (flags & ~(wire::kBodyFlags | wire::kReplicated)) {
    return add_fatal(entry, wire::kUnknownFlags, correlation_id, sequence);
  }
  if (sequence == 0) return add_fatal(entry, wire::kMalformed, correlation_id, 0);
  return add_checked(entry, Incoming{sequence, correlation_id, load_be16(frame + 6),
                                     static_cast<uint8_t>(flags & wire::kBodyFlags),
                                     static_cast<uint8_t>((flags & wire::kReplicated) != 0),
                                     body + kSequence, length - kSequence});
}

BatchScan::Step BatchScan::walk_batch(const Entry& entry, const uint8_t* frame, size_t length) {
  const uint32_t correlation_id = load_be32(frame + 8);
  if (length < kBatchHead) return add_fatal(entry, wire::kMalformed, correlation_id, 0);
  const uint8_t* body = frame + wire::kFrameHead;
  const uint64_t first = load_be48(body);
  if (frame[5] & ~wire::kReplicated) {
    return add_fatal(entry, wire::kUnknownFlags, correlation_id, first);
  }
  const uint32_t count = load_be16(body + 6);
  // Also when an earlier scan has begun these records: that the ring's bytes are still the same
  // is not something to stake memory safety on.
  if (first == 0 || count == 0 || first + (count - 1) > wire::kSequenceMax ||
      !records_add_up(body + kBatchHead, length - kBatchHead, count)) {
    return add_fatal(entry, wire::kMalformed, correlation_id, first);
  }
  return walk_records(entry, frame);
}

BatchScan::Step BatchScan::walk_records(const Entry& entry, const uint8_t* frame) {
  const uint8_t* body = frame + wire::kFrameHead;
  const uint64_t first = load_be48(body);
  const uint32_t count = load_be16(body + 6);
  const uint32_t correlation_id = load_be32(frame + 8);
  const uint16_t topic = load_be16(frame + 6);
  const auto level = static_cast<uint8_t>((frame[5] & wire::kReplicated) != 0);
  size_t offset = kBatchHead;
  for (uint32_t i = 0; i < count; ++i) {
    const size_t record = load_be32(body + offset);
    if (i < cursor_.record) {
      offset += kRecordLength + record;
      continue;
    }
    const uint8_t flags = body[offset + kRecordLength];
    Step step;
    if (flags & ~wire::kBodyFlags) {
      step = add_fatal(entry, wire::kUnknownFlags, correlation_id + i, first + i);
    } else {
      step = add_checked(entry, Incoming{first + i, correlation_id + i, topic, flags, level,
                                         body + offset + kRecordLength + kRecordFlags,
                                         record - kRecordFlags});
    }
    if (step == Step::kFull) cursor_.record = i;
    if (step != Step::kGoOn) return step;
    offset += kRecordLength + record;
  }
  cursor_.record = 0;
  return Step::kGoOn;
}

/// The code of a message. A delayed one that is good becomes one of the delay log's topic.
uint16_t BatchScan::check(Incoming* in, uint16_t* target) {
  const TopicRule rule = in->topic < rules_.size() ? rules_[in->topic] : TopicRule();
  const uint16_t code = check_message(in->flags, in->body, in->length, limits_, rule);
  if (is_fatal(code)) return code;
  if (code == wire::kOk && in->topic == 0) return wire::kTopicNotOpen;
  if (code != wire::kOk || !(in->flags & wire::kDue)) return code;
  MessageView view;
  split_message(in->flags, in->body, in->length, &view);
  const uint16_t due = check_due(in->flags, view, due_rules_, now_ms_);
  if (due != wire::kOk) return due;
  const bool named = in->topic < names_.size() && !names_[in->topic].empty();
  if (!named || names_[in->topic].size() > 249) return wire::kNotSupported;
  *target = in->topic;
  in->topic = due_rules_.topic;
  return wire::kOk;
}

BatchScan::Step BatchScan::add_checked(const Entry& entry, const Incoming& incoming) {
  Incoming in = incoming;
  uint16_t target = 0;
  const uint16_t code = check(&in, &target);
  if (is_fatal(code)) return add_fatal(entry, code, in.correlation_id, in.sequence);
  if (!extend(entry.connection, in, code)) return Step::kFull;
  tables_.message_topics[messages_] = in.topic;
  due_targets_[messages_] = target;
  if (code == wire::kOk) {
    index(in, target);
  } else {
    tables_.accept[messages_] = 0;
    flags_[messages_] = kRefused;
  }
  ++messages_;
  return Step::kGoOn;
}

BatchScan::Step BatchScan::add_fatal(const Entry& entry, uint16_t code, uint32_t correlation_id,
                                     uint64_t sequence) {
  const Incoming in{sequence, correlation_id, 0, 0, 0, nullptr, 0};
  if (!extend(entry.connection, in, code)) return Step::kFull;
  open_[kSegTopic] = -1;
  tables_.message_topics[messages_] = 0;
  due_targets_[messages_] = 0;
  tables_.accept[messages_] = 0;
  flags_[messages_] = kRefused;
  ++messages_;
  return Step::kEntryEnds;
}

/// Makes the message part of the open segment or of a new one; false when there is no room.
bool BatchScan::extend(uint32_t connection, const Incoming& in, uint16_t code) {
  if (messages_ == messages_max_) return false;
  const bool due = (in.flags & wire::kDue) != 0;
  const bool fits = open_ != nullptr && connection == open_connection_ &&
                    in.correlation_id == next_correlation_id_ && in.sequence == next_sequence_ &&
                    in.level == open_level_ && code == open_code_ && due == open_due_;
  if (fits) {
    open_[kSegCount] += 1;
    if (open_[kSegTopic] != in.topic) open_[kSegTopic] = -1;
  } else {
    if (segments_ == segments_max_) return false;
    open_ = tables_.segments + segments_ * kSegmentInts;
    ++segments_;
    open_[kSegConnection] = static_cast<int32_t>(connection);
    open_[kSegOrdinal] = static_cast<int32_t>(messages_);
    open_[kSegCount] = 1;
    open_[kSegCorrelationId] = static_cast<int32_t>(in.correlation_id);
    open_[kSegSequenceLow] = static_cast<int32_t>(in.sequence & 0xFFFFFFFFu);
    open_[kSegSequenceHigh] = static_cast<int32_t>(in.sequence >> 32);
    open_[kSegLevel] = in.level;
    open_[kSegCode] = code;
    open_[kSegPayloadBytes] = 0;
    open_[kSegTopic] = in.topic;
    open_[kSegDue] = due ? 1 : 0;
    open_[11] = 0;
    open_connection_ = connection;
    open_level_ = in.level;
    open_code_ = code;
    open_due_ = due;
  }
  next_correlation_id_ = in.correlation_id + 1;
  next_sequence_ = in.sequence + 1;
  return true;
}

void BatchScan::index(const Incoming& in, uint16_t target) {
  refs_[messages_] =
      MessageRef{static_cast<uint32_t>(in.body - ring_), static_cast<uint32_t>(in.length)};
  flags_[messages_] = in.flags;
  tables_.accept[messages_] = 1;
  const uint32_t record = kRecordHead + static_cast<uint32_t>(in.length);
  open_[kSegPayloadBytes] += static_cast<int32_t>(record);
  payload_bytes_ += record;
  if (target != 0) ++due_messages_;
  count_topic(in.topic);
}

const char* BatchScan::rewrite_due(const AcceptedIds& accepted, uint64_t accepted_ms) {
  if (due_messages_ == 0) return nullptr;
  if (accepted.ids_bytes != accepted.segment_count * 16) {
    return "ids must have 16 bytes for each accepted segment";
  }
  size_t segment = 0;
  uint32_t inside = 0;
  for (uint32_t i = 0; i < messages_; ++i) {
    if (!this->accepted(i)) continue;
    if (segment == accepted.segment_count) {
      return "acceptedSegments count fewer messages than are accepted";
    }
    if (accepted.segments[segment] < 1) return "an accepted segment is empty";
    if (due_targets_[i] != 0 && (flags_[i] & wire::kDue)) {
      MessageView view;
      split_message(flags_[i], ring_ + refs_[i].offset, refs_[i].length, &view);
      const uint8_t* id = accepted.ids + segment * 16;
      const std::string& target = names_[due_targets_[i]];
      const DueOrigin origin{id, load_be48(id + 10) + inside, accepted_ms, &target};
      const size_t bytes = due_body_bytes(flags_[i], view, target.size());
      const size_t at = rewritten_.size();
      rewritten_.resize(at + bytes);
      write_due_body(rewritten_.data() + at, flags_[i], view, due_rules_, origin);
      payload_bytes_ += bytes - refs_[i].length;
      refs_[i] = MessageRef{static_cast<uint32_t>(at), static_cast<uint32_t>(bytes)};
      flags_[i] = kDueBodyFlags;
    }
    if (++inside == static_cast<uint32_t>(accepted.segments[segment])) {
      inside = 0;
      ++segment;
    }
  }
  return nullptr;
}

void BatchScan::count_topic(uint16_t topic) {
  uint16_t slot = topic_index_[topic];
  if (slot == 0) {
    used_topics_.push_back(topic);
    slot = static_cast<uint16_t>(used_topics_.size());
    topic_index_[topic] = slot;
    tables_.topics[slot - 1] = topic;
    tables_.topic_messages[slot - 1] = 0;
  }
  tables_.topic_messages[slot - 1] += 1;
}

}  // namespace mq

// The hot loop: one micro-batch of the outbox into librdkafka.
#pragma once

#include <cstdint>
#include <vector>

#include "kafka/producer-core.h"
#include "kafka/record.h"

namespace mq::kafka {

struct ProduceRequest {
  const uint8_t* payload = nullptr;
  size_t payload_length = 0;
  uint64_t first_sequence = 0;
  uint64_t from_ordinal = 0;
  const uint8_t* skip = nullptr;  // by ordinal
  size_t skip_length = 0;
  const uint8_t* ids = nullptr;  // 16 bytes a segment
  const int32_t* segment_counts = nullptr;
  size_t segments = 0;
  const uint8_t* segment_flags = nullptr;  // bit 1 = placed; null or `segments` long
  const uint8_t* origin_node = nullptr;    // 8 bytes
  uint64_t accepted_ms = 0;
  const uint8_t* blocked = nullptr;  // by topic id
  size_t blocked_length = 0;
  int32_t only_topic = -1;
};

enum DeferReason { kPartitionFull = 1, kTopicUnknown = 2, kBlocked = 3, kNotRegistered = 4 };

struct Deferred {
  uint16_t topic;
  uint64_t first_sequence;
  uint32_t count;
  DeferReason reason;
};

struct ProduceOutcome {
  uint64_t sent = 0;
  uint64_t next_ordinal = 0;
  bool fatal = false;
  /// The payload does not have the outbox form, or the segments do not cover it.
  bool malformed = false;
  std::vector<Deferred> deferred;
};

/// Per lane, used by one thread at a time; keeps its scratch memory between calls.
class Produce {
 public:
  /// The lane is one of the core's.
  Produce(std::shared_ptr<ProducerCore> core, Lane* lane);
  ~Produce();
  ProduceOutcome Run(const ProduceRequest& request);

 private:
  struct TopicState;
  enum class Step { kNext, kQueueFull, kFatal };

  TopicState* StateOf(uint16_t id);
  bool Open(TopicState* state);
  void Defer(TopicState* state, uint64_t sequence, DeferReason reason);
  bool EnterSegment(uint64_t ordinal);
  Step SendRecord(const Record& record, uint64_t sequence);
  int32_t PartitionOf(const TopicState& state, const Record& record) const;
  bool Reserve(TopicState* state, int32_t partition, int64_t bytes);
  /// Takes a reservation back.
  void Release(TopicState* state, int32_t partition, int64_t bytes, int64_t left_max);
  Step Send(TopicState* state, const Record& record, int32_t partition, uint64_t sequence);
  rd_kafka_resp_err_t Enqueue(TopicState* state, const Record& record, int32_t partition,
                              uint64_t sequence);
  Step Refused(TopicState* state, int code, uint64_t sequence);
  Step Failed(TopicState* state, rd_kafka_resp_err_t code, uint64_t sequence);
  void FinishCall(bool queue_full);

  std::shared_ptr<ProducerCore> core_;
  Lane& lane_;
  std::vector<uint16_t> index_;  // topic id -> place in states_ + 1, 0 = not met in this call
  std::vector<TopicState> states_;
  std::vector<VerdictRun> refused_;

  // Of the call at hand.
  const ProduceRequest* request_ = nullptr;
  std::shared_ptr<Instance> instance_;
  ProduceOutcome outcome_;
  int64_t sent_messages_ = 0;
  int64_t sent_bytes_ = 0;
  int64_t now_ms_ = 0;
  size_t segment_ = 0;
  uint64_t segment_start_ = 0;  // ordinal
  uint64_t segment_end_ = 0;
  uint32_t sticky_ = 0;
  bool placed_ = false;
  uint8_t header_[kIdHeaderBytes];
};

}  // namespace mq::kafka

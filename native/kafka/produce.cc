#include "kafka/produce.h"

#include "core/murmur2.h"

namespace mq::kafka {
namespace {

constexpr uint8_t kPlacedSegment = 0x01;

// A partition count younger than this is believed when it refuses a partition for good.
constexpr int64_t kFreshMs = 5'000;

uint64_t Mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  return x;
}

}  // namespace

struct Produce::TopicState {
  uint16_t id = 0;
  Topic* topic = nullptr;
  rd_kafka_topic_t* handle = nullptr;
  int32_t partitions = 0;
  bool id_header = true;
  bool open = false;
  int32_t deferred = -1;  // place in outcome_.deferred
};

Produce::Produce(std::shared_ptr<ProducerCore> core, Lane* lane)
    : core_(std::move(core)), lane_(*lane), index_(65536, 0) {}

Produce::~Produce() = default;

Produce::TopicState* Produce::StateOf(uint16_t id) {
  if (index_[id] == 0) {
    TopicState state;
    state.id = id;
    states_.push_back(state);
    index_[id] = static_cast<uint16_t>(states_.size());
  }
  return &states_[index_[id] - 1u];
}

void Produce::Defer(TopicState* state, uint64_t sequence, DeferReason reason) {
  state->deferred = static_cast<int32_t>(outcome_.deferred.size());
  outcome_.deferred.push_back({state->id, sequence, 1, reason});
}

bool Produce::Open(TopicState* state) {
  state->topic = core_->state().FindTopic(state->id);
  if (state->topic == nullptr) return false;
  int32_t partitions = state->topic->partitions.load();
  if (partitions == 0) {
    state->topic->AddWaiter(lane_.id());
    // It may have become known before the waiter was there.
    partitions = state->topic->partitions.load();
    if (partitions == 0) return false;
  }
  state->partitions = partitions;
  state->id_header = state->topic->id_header.load();
  state->handle = instance_->Handle(state->topic);
  state->open = state->handle != nullptr;
  return state->open;
}

bool Produce::EnterSegment(uint64_t ordinal) {
  while (ordinal >= segment_end_) {
    if (segment_ >= request_->segments) return false;
    segment_start_ = segment_end_;
    segment_end_ += static_cast<uint64_t>(request_->segment_counts[segment_]);
    segment_++;
  }
  const size_t at = segment_ - 1;
  const uint8_t* id = request_->ids + at * 16;
  memcpy(header_ + 2, id, 16);
  placed_ = request_->segment_flags != nullptr && (request_->segment_flags[at] & kPlacedSegment);
  sticky_ = static_cast<uint32_t>((Mix(load_be64(id)) + load_be48(id + 10)) & 0x7fffffff);
  return true;
}

int32_t Produce::PartitionOf(const TopicState& state, const Record& record) const {
  if (record.flags & Record::kPartition) return record.partition;
  const auto partitions = static_cast<uint32_t>(state.partitions);
  const uint32_t partition = (record.flags & Record::kKey)
                                 ? partition_of(record.key, record.key_length, partitions)
                                 : sticky_ % partitions;
  return static_cast<int32_t>(partition);
}

bool Produce::Reserve(TopicState* state, int32_t partition, int64_t bytes) {
  PartitionSlot& slot = state->topic->Slot(partition);
  const int64_t max = slot.IsCounted(instance_->generation(), now_ms_)
                          ? state->topic->slot_bytes_max.load(std::memory_order_relaxed)
                          : 0;
  const int64_t before = slot.bytes.fetch_add(bytes);
  if (before <= 0) state->topic->NoteFilled(partition, &slot, now_ms_);
  // An empty partition takes a message of any size.
  if (before <= 0 || before + bytes <= max) return true;
  // The flag is up before the bytes go: who takes the last of them off sees it.
  state->topic->AddWaiter(lane_.id());
  slot.full.store(true);
  Release(state, partition, bytes, max / 2);
  return false;
}

void Produce::Release(TopicState* state, int32_t partition, int64_t bytes, int64_t left_max) {
  if (state->topic->Slot(partition).Release(bytes, left_max)) {
    core_->state().TopicReady(state->topic);
  }
}

Produce::Step Produce::Refused(TopicState* state, int code, uint64_t sequence) {
  VerdictRun run;
  run.first = sequence;
  run.count = 1;
  run.code = code;
  run.topic = state->id;
  run.generation = instance_->generation();
  if (refused_.empty() || !Extend(&refused_.back(), run)) refused_.push_back(run);
  outcome_.sent++;
  return Step::kNext;
}

rd_kafka_resp_err_t Produce::Enqueue(TopicState* state, const Record& record, int32_t partition,
                                     uint64_t sequence) {
  rd_kafka_headers_t* headers = record.MakeHeaders(state->id_header ? header_ : nullptr);
  rd_kafka_vu_t args[7];
  args[0].vtype = RD_KAFKA_VTYPE_RKT;
  args[0].u.rkt = state->handle;
  args[1].vtype = RD_KAFKA_VTYPE_PARTITION;
  args[1].u.i32 = partition;
  args[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  args[2].u.i = RD_KAFKA_MSG_F_COPY;
  args[3].vtype = RD_KAFKA_VTYPE_VALUE;
  args[3].u.mem.ptr = const_cast<uint8_t*>(record.value);
  args[3].u.mem.size = record.value_length;
  args[4].vtype = RD_KAFKA_VTYPE_KEY;
  args[4].u.mem.ptr = const_cast<uint8_t*>(record.key);
  args[4].u.mem.size = record.key_length;
  args[5].vtype = RD_KAFKA_VTYPE_OPAQUE;
  args[5].u.ptr = PackOpaque(lane_.id(), record.header_size(), placed_, sequence);
  args[6].vtype = RD_KAFKA_VTYPE_HEADERS;
  args[6].u.headers = headers;
  rd_kafka_error_t* error =
      rd_kafka_produceva(instance_->rk(), args, headers == nullptr ? 6 : 7);
  if (error == nullptr) return RD_KAFKA_RESP_ERR_NO_ERROR;
  const rd_kafka_resp_err_t code =
      rd_kafka_error_is_fatal(error) ? RD_KAFKA_RESP_ERR__FATAL : rd_kafka_error_code(error);
  rd_kafka_error_destroy(error);
  if (headers != nullptr) rd_kafka_headers_destroy(headers);
  return code;
}

Produce::Step Produce::Send(TopicState* state, const Record& record, int32_t partition,
                            uint64_t sequence) {
  const int64_t bytes = record.bytes();
  if (!Reserve(state, partition, bytes)) {
    Defer(state, sequence, kPartitionFull);
    return Step::kNext;
  }
  const rd_kafka_resp_err_t code = Enqueue(state, record, partition, sequence);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
    outcome_.sent++;
    sent_messages_++;
    sent_bytes_ += bytes;
    return Step::kNext;
  }
  // Another lane may have found it full only because of these bytes.
  Release(state, partition, bytes, state->topic->slot_bytes_max.load() / 2);
  return Failed(state, code, sequence);
}

Produce::Step Produce::Failed(TopicState* state, rd_kafka_resp_err_t code, uint64_t sequence) {
  switch (code) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
      return Step::kQueueFull;
    case RD_KAFKA_RESP_ERR__FATAL:
      return Step::kFatal;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      state->topic->AddWaiter(lane_.id());
      core_->state().ForgetPartitions(state->topic);
      Defer(state, sequence, kTopicUnknown);
      return Step::kNext;
    default:
      return Refused(state, code, sequence);
  }
}

Produce::Step Produce::SendRecord(const Record& record, uint64_t sequence) {
  TopicState* state = StateOf(record.topic);
  if (state->deferred >= 0) {
    outcome_.deferred[static_cast<size_t>(state->deferred)].count++;
    return Step::kNext;
  }
  if (!state->open) {
    if (record.topic < request_->blocked_length && request_->blocked[record.topic]) {
      Defer(state, sequence, kBlocked);
      return Step::kNext;
    }
    if (!Open(state)) {
      Defer(state, sequence, state->topic == nullptr ? kNotRegistered : kTopicUnknown);
      return Step::kNext;
    }
  }
  const int32_t partition = PartitionOf(*state, record);
  if (partition >= state->partitions) {
    if (SteadyMs() - state->topic->refreshed_ms.load() < kFreshMs) {
      return Refused(state, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, sequence);
    }
    return Failed(state, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, sequence);
  }
  return Send(state, record, partition, sequence);
}

void Produce::FinishCall(bool queue_full) {
  lane_.messages.fetch_add(sent_messages_);
  lane_.bytes.fetch_add(sent_bytes_);
  instance_->AddInFlight(sent_messages_);
  if (queue_full) instance_->AwaitRoom(&lane_);
  lane_.AddVerdicts(refused_, 0, 0);
  for (const TopicState& state : states_) index_[state.id] = 0;
  states_.clear();
  refused_.clear();
  instance_.reset();
}

ProduceOutcome Produce::Run(const ProduceRequest& request) {
  request_ = &request;
  outcome_ = ProduceOutcome{};
  outcome_.next_ordinal = request.from_ordinal;
  instance_ = core_->Current();
  if (instance_ == nullptr || instance_->fatal()) {
    outcome_.fatal = true;
    instance_.reset();
    return std::move(outcome_);
  }
  sent_messages_ = sent_bytes_ = 0;
  now_ms_ = SteadyMs();
  segment_ = segment_start_ = segment_end_ = 0;
  header_[0] = 1;
  header_[1] = 0;
  memcpy(header_ + 18, request.origin_node, 8);
  store_be64(header_ + 26, request.accepted_ms);
  bool queue_full = false;
  const uint8_t* at = request.payload;
  const uint8_t* end = at + request.payload_length;
  Record record;
  for (uint64_t ordinal = 0; at < end; ordinal++) {
    if (!record.Parse(&at, end)) {
      outcome_.malformed = true;
      break;
    }
    if (ordinal < request.from_ordinal) continue;
    const bool wanted = request.only_topic < 0 || record.topic == request.only_topic;
    const bool skipped = ordinal < request.skip_length && request.skip[ordinal] != 0;
    if (wanted && !skipped) {
      if (ordinal >= segment_end_ && !EnterSegment(ordinal)) {
        outcome_.malformed = true;
        break;
      }
      const uint8_t* id = request.ids + (segment_ - 1) * 16;
      store_be48(header_ + 12, load_be48(id + 10) + (ordinal - segment_start_));
      const Step step = SendRecord(record, request.first_sequence + ordinal);
      queue_full = step == Step::kQueueFull;
      outcome_.fatal = step == Step::kFatal;
      if (step != Step::kNext) break;
    }
    outcome_.next_ordinal = ordinal + 1;
  }
  if (outcome_.fatal) instance_->SetFatal();
  FinishCall(queue_full);
  return std::move(outcome_);
}

}  // namespace mq::kafka

#include "kafka/instance.h"

#include <algorithm>
#include <thread>

#include "kafka/allocator.h"
#include "kafka/opaque.h"
#include "kafka/patient-poll.h"

namespace mq::kafka {
namespace {

// Reports per extraction, and events taken before the lanes are told.
constexpr size_t kMessagesPerRead = 512;
constexpr int kEventsPerRound = 64;
constexpr int kIdlePollMs = 1000;
constexpr int kRetiredPollMs = 20;

/// Whether a failed report speaks against the cluster: not what was purged, nor what is the fault of
/// the message, nor a topic that is gone.
bool IsOfCluster(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      return false;
    default:
      return true;
  }
}

}  // namespace

std::shared_ptr<Instance> Instance::Create(std::shared_ptr<CoreState> state, const Config& config,
                                           uint32_t generation, std::string* error) {
  MakePollPatient();
  MergeFreedAtOnce();
  rd_kafka_conf_t* conf = ConfOf(config, error);
  if (conf == nullptr) return nullptr;
  rd_kafka_conf_set(conf, "log.queue", "true", nullptr, 0);
  rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
  std::shared_ptr<Instance> self(new Instance(std::move(state), generation));
  self->rk_ = NewClient(RD_KAFKA_PRODUCER, conf, error);
  if (self->rk_ == nullptr) return nullptr;
  self->lifeline_ = std::make_unique<Lifeline>(self->rk_, config);
  rd_kafka_set_log_queue(self->rk_, nullptr);
  self->queue_ = rd_kafka_queue_get_main(self->rk_);
  self->messages_.resize(kMessagesPerRead);
  std::thread(Drain, self).detach();
  return self;
}

rd_kafka_resp_err_t Instance::AskMetadata(bool all, rd_kafka_topic_t* only, int timeout_ms,
                                          const struct rd_kafka_metadata** raw) {
  const rd_kafka_resp_err_t code = rd_kafka_metadata(rk_, all ? 1 : 0, only, raw, timeout_ms);
  if (code == RD_KAFKA_RESP_ERR__TRANSPORT) lifeline_->Doubt();
  return code;
}

rd_kafka_topic_t* Instance::Handle(Topic* topic) {
  HandleBlock* block = handles_[topic->id >> 8].load(std::memory_order_acquire);
  if (block != nullptr) {
    rd_kafka_topic_t* handle = (*block)[topic->id & 255].load(std::memory_order_acquire);
    if (handle != nullptr) return handle;
  }
  std::lock_guard<std::mutex> guard(handles_lock_);
  block = handles_[topic->id >> 8].load();
  if (block == nullptr) {
    block = new HandleBlock{};
    handles_[topic->id >> 8].store(block, std::memory_order_release);
  }
  rd_kafka_topic_t* handle = (*block)[topic->id & 255].load();
  if (handle == nullptr) {
    handle = rd_kafka_topic_new(rk_, topic->name.c_str(), nullptr);
    if (handle == nullptr) return nullptr;
    topics_[topic->name] = topic;
    (*block)[topic->id & 255].store(handle, std::memory_order_release);
  }
  return handle;
}

void Instance::AwaitRoom(Lane* lane) {
  const int64_t now = in_flight_.load();
  room_below_.store(now / 2);
  lane->wants_room.store(true);
  room_wanted_.store(true);
  // All of it may have been reported before the flags were up.
  if (in_flight_.load() <= now / 2 && lane->wants_room.exchange(false)) lane->AddReady(-1);
}

void Instance::Retire(std::function<void()> gone) {
  {
    std::lock_guard<std::mutex> guard(gone_lock_);
    gone_ = std::move(gone);
  }
  retired_.store(true, std::memory_order_release);
  rd_kafka_queue_yield(queue_);
}

void Instance::Drain(std::shared_ptr<Instance> self) {
  NameThread("mq-reports");
  while (true) {
    const bool retired = self->retired_.load(std::memory_order_acquire);
    if (retired) {
      rd_kafka_purge(self->rk_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                    RD_KAFKA_PURGE_F_NON_BLOCKING);
    }
    rd_kafka_event_t* event =
        rd_kafka_queue_poll(self->queue_, retired ? kRetiredPollMs : kIdlePollMs);
    for (int i = 0; event != nullptr; i++) {
      self->HandleEvent(event);
      event = i + 1 < kEventsPerRound ? rd_kafka_queue_poll(self->queue_, 0) : nullptr;
    }
    self->HandUp();
    if (!retired) self->lifeline_->Look();
    if (retired && self.use_count() == 1 && rd_kafka_outq_len(self->rk_) == 0) break;
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  self->Destroy();
}

void Instance::Destroy() {
  for (auto& place : handles_) {
    HandleBlock* block = place.load();
    if (block == nullptr) continue;
    for (auto& handle : *block) {
      if (handle.load() != nullptr) rd_kafka_topic_destroy(handle.load());
    }
    delete block;
  }
  rd_kafka_queue_destroy(queue_);
  rd_kafka_destroy(rk_);
  std::function<void()> gone;
  {
    std::lock_guard<std::mutex> guard(gone_lock_);
    gone.swap(gone_);
  }
  if (gone) gone();
}

void Instance::HandleEvent(rd_kafka_event_t* event) {
  switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_DR:
      HandleReports(event);
      break;
    case RD_KAFKA_EVENT_LOG: {
      const char* facility = "";
      const char* text = "";
      int level = 0;
      if (rd_kafka_event_log(event, &facility, &text, &level) == 0) {
        Broadcast(LaneEvent::kLog, level, std::string(facility) + ": " + text);
      }
      break;
    }
    case RD_KAFKA_EVENT_ERROR: {
      const rd_kafka_resp_err_t code = rd_kafka_event_error(event);
      if (code == RD_KAFKA_RESP_ERR__FATAL) {
        char reason[512];
        const rd_kafka_resp_err_t cause = rd_kafka_fatal_error(rk_, reason, sizeof(reason));
        fatal_.store(true);
        Broadcast(LaneEvent::kFatal, cause, reason);
      } else {
        const char* said = rd_kafka_event_error_string(event);
        const std::string text = said == nullptr ? "" : said;
        // That all are down follows what befell each of them, and says less.
        if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) lifeline_->Doubt();
        else state_->SetTrouble(text);
        Broadcast(LaneEvent::kError, code, text);
      }
      break;
    }
    default:
      break;
  }
  rd_kafka_event_destroy(event);
}

Topic* Instance::TopicOf(const rd_kafka_topic_t* handle) {
  std::lock_guard<std::mutex> guard(handles_lock_);
  return topics_.at(rd_kafka_topic_name(handle));
}

void Instance::HandleReports(rd_kafka_event_t* event) {
  const rd_kafka_topic_t* handle = nullptr;
  Topic* topic = nullptr;
  const int64_t now_ms = SteadyMs();
  int64_t reported = 0;
  size_t n;
  while ((n = rd_kafka_event_message_array(event, messages_.data(), messages_.size())) > 0) {
    for (size_t i = 0; i < n; i++) {
      const rd_kafka_message_t* message = messages_[i];
      if (message->rkt != handle) {
        handle = message->rkt;
        topic = TopicOf(handle);
      }
      CountReport(message, topic, now_ms);
    }
    reported += static_cast<int64_t>(n);
  }
  in_flight_.fetch_sub(reported);
}

void Instance::CountReport(const rd_kafka_message_t* message, Topic* topic, int64_t now_ms) {
  const uint64_t bits = OpaqueBits(message->_private);
  VerdictRun run;
  run.first = OpaqueSequence(bits);
  run.count = 1;
  run.code = message->err;
  run.topic = topic->id;
  run.generation = generation_;
  if (OpaqueIsPlaced(bits) && message->err == 0) {
    run.partition = message->partition;
    run.base_offset = message->offset < 0 ? -1 : message->offset;
  }
  const int64_t bytes = static_cast<int64_t>(message->len + message->key_len) +
                        OpaqueHeaderBytes(bits) + kRecordOverhead;
  PartitionSlot& slot = topic->Slot(message->partition);
  if (message->err == 0) {
    slot.Counted(generation_, now_ms);
    topic->confirmed.fetch_add(1, std::memory_order_relaxed);
  } else {
    slot.Refused();
    if (IsOfCluster(message->err)) topic->failed.fetch_add(1, std::memory_order_relaxed);
  }
  if (slot.Release(bytes, topic->slot_bytes_max.load(std::memory_order_relaxed) / 2)) {
    drained_.push_back(topic);
  }
  if (message->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
      message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
    state_->ForgetPartitions(topic);
  }
  const uint8_t lane = OpaqueLane(bits);
  Collected& collected = collected_[lane];
  if (collected.messages == 0) touched_.push_back(lane);
  collected.messages++;
  collected.bytes += bytes;
  if (collected.runs.empty() || !Extend(&collected.runs.back(), run)) {
    collected.runs.push_back(run);
  }
}

void Instance::HandUp() {
  for (const uint8_t id : touched_) {
    Collected& collected = collected_[id];
    Lane* lane = state_->FindLane(id);
    lane->AddVerdicts(collected.runs, collected.messages, collected.bytes);
    collected.runs.clear();
    collected.messages = 0;
    collected.bytes = 0;
  }
  touched_.clear();
  for (Topic* topic : drained_) state_->TopicReady(topic);
  drained_.clear();
  if (room_wanted_.load() && in_flight_.load() <= room_below_.load()) GiveRoom();
}

void Instance::GiveRoom() {
  room_wanted_.store(false);
  state_->EachLane([](Lane& lane) {
    if (lane.wants_room.exchange(false)) lane.AddReady(-1);
  });
}

void Instance::Broadcast(LaneEvent::Kind kind, int code, std::string text) {
  const LaneEvent event{kind, code, std::move(text)};
  state_->EachLane([&](Lane& lane) { lane.AddEvent(event); });
}

}  // namespace mq::kafka

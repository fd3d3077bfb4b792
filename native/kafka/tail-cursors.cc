#include "kafka/tail-cursors.h"

#include <algorithm>

#include "kafka/system.h"

namespace mq::kafka {
namespace {

// Each has a few threads and a connection per broker; more positions of ONE partition than this
// take turns.
constexpr size_t kConsumersMax = 8;

const Config& Fixed() {
  static const auto* fixed = new Config{
      {"enable.auto.commit", "false"},
      {"enable.auto.offset.store", "false"},
      {"enable.partition.eof", "true"},
      {"auto.offset.reset", "error"},
      {"allow.auto.create.topics", "false"},
      // A full local queue is looked at again after this; the default of a second stalls a tail.
      {"fetch.queue.backoff.ms", "5"},
      {"queued.max.messages.kbytes", "2048"},
      {"fetch.error.backoff.ms", "100"},
      {"reconnect.backoff.max.ms", "1000"},
      // A broker answers one connection's requests in turn, so a new position waits this long
      // behind the fetches of idle ones.
      {"fetch.wait.max.ms", "100"},
  };
  return *fixed;
}

void OnData(rd_kafka_t*, void* opaque) { (*static_cast<std::function<void()>*>(opaque))(); }

}  // namespace

TailCursors::TailCursors(Config config, size_t cursors_max, std::function<void()> on_data)
    : config_(std::move(config)), cursors_max_(cursors_max), on_data_(std::move(on_data)) {}

void TailCursors::Shut() {
  while (!cursors_.empty()) Stop(cursors_.back().get());
  for (const Consumer& consumer : consumers_) rd_kafka_destroy(consumer.rk);
  consumers_.clear();
  if (asker_.rk != nullptr) rd_kafka_destroy(asker_.rk);
  asker_ = {};
}

bool TailCursors::Open(std::string* error) {
  // Nobody would take its events: who asks is answered.
  asker_ = NewConsumer(0, error);
  return asker_.rk != nullptr;
}

TailCursors::Consumer TailCursors::NewConsumer(int events, std::string* error) {
  Config settings = Fixed();
  for (const auto& [name, value] : config_) settings[name] = value;
  rd_kafka_conf_t* conf = ConfOf(settings, error);
  if (conf == nullptr) return {};
  rd_kafka_conf_set_events(conf, events);
  rd_kafka_conf_set_log_cb(conf, nullptr);
  rd_kafka_t* rk = NewClient(RD_KAFKA_CONSUMER, conf, error);
  if (rk == nullptr) return {};
  return {rk, std::make_unique<Lifeline>(rk, settings)};
}

void TailCursors::Look() {
  asker_.lifeline->Look();
  for (size_t i = 0; i < consumers_.size(); i++) {
    rd_kafka_queue_t* queue = rd_kafka_queue_get_main(consumers_[i].rk);
    while (rd_kafka_event_t* event = rd_kafka_queue_poll(queue, 0)) {
      const rd_kafka_resp_err_t code = rd_kafka_event_error(event);
      rd_kafka_event_destroy(event);
      // One broker of several, or one connection, may go without anybody missing it.
      if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) continue;
      consumers_[i].lifeline->Doubt();
      for (const auto& cursor : cursors_) {
        if (cursor->consumer == i) cursor->trouble = code;
      }
    }
    rd_kafka_queue_destroy(queue);
    consumers_[i].lifeline->Look();
  }
}

TailCursor* TailCursors::Find(const std::string& topic, int32_t partition, int64_t next) {
  for (const auto& cursor : cursors_) {
    if (!cursor->busy && cursor->next == next && cursor->partition == partition &&
        cursor->topic == topic) {
      return cursor.get();
    }
  }
  return nullptr;
}

size_t TailCursors::ConsumerFor(const std::string& topic, int32_t partition,
                                std::string* error) {
  for (size_t i = 0; i < consumers_.size(); i++) {
    const bool holds = std::any_of(cursors_.begin(), cursors_.end(), [&](const auto& cursor) {
      return cursor->consumer == i && cursor->partition == partition && cursor->topic == topic;
    });
    if (!holds) return i;
  }
  if (consumers_.size() < kConsumersMax) {
    Consumer consumer = NewConsumer(RD_KAFKA_EVENT_ERROR, error);
    if (consumer.rk != nullptr) {
      consumers_.push_back(std::move(consumer));
      return consumers_.size() - 1;
    }
  }
  return consumers_.size();
}

bool TailCursors::StopOldest(const std::string* topic, int32_t partition) {
  TailCursor* oldest = nullptr;
  for (const auto& cursor : cursors_) {
    if (cursor->busy) continue;
    if (topic != nullptr && (cursor->topic != *topic || cursor->partition != partition)) continue;
    if (oldest == nullptr || cursor->used_ms < oldest->used_ms) oldest = cursor.get();
  }
  if (oldest == nullptr) return false;
  Stop(oldest);
  return true;
}

TailCursor* TailCursors::Start(const std::string& topic, int32_t partition, int64_t offset,
                               int* code, std::string* error) {
  *code = RD_KAFKA_RESP_ERR__QUEUE_FULL;
  *error = "too many reads at once";
  if (cursors_.size() >= cursors_max_ && !StopOldest(nullptr, 0)) return nullptr;
  std::string reason;
  size_t consumer = ConsumerFor(topic, partition, &reason);
  if (consumer == consumers_.size()) {
    if (!StopOldest(&topic, partition)) {
      if (reason.empty()) return nullptr;
      *code = RD_KAFKA_RESP_ERR__FAIL;
      *error = std::move(reason);
      return nullptr;
    }
    consumer = ConsumerFor(topic, partition, &reason);
  }
  auto cursor = std::make_unique<TailCursor>();
  cursor->topic = topic;
  cursor->partition = partition;
  cursor->consumer = consumer;
  cursor->next = offset;
  cursor->used_ms = SteadyMs();
  cursor->handle = rd_kafka_topic_new(consumers_[consumer].rk, topic.c_str(), nullptr);
  if (cursor->handle == nullptr) {
    *code = rd_kafka_last_error();
    *error = rd_kafka_err2str(rd_kafka_last_error());
    return nullptr;
  }
  cursor->queue = rd_kafka_queue_new(consumers_[consumer].rk);
  rd_kafka_queue_cb_event_enable(cursor->queue, OnData, &on_data_);
  if (rd_kafka_consume_start_queue(cursor->handle, partition, offset, cursor->queue) != 0) {
    *code = rd_kafka_last_error();
    *error = rd_kafka_err2str(rd_kafka_last_error());
    Release(cursor.get());
    return nullptr;
  }
  cursors_.push_back(std::move(cursor));
  return cursors_.back().get();
}

void TailCursors::Release(TailCursor* cursor) {
  for (rd_kafka_message_t* message : cursor->held) rd_kafka_message_destroy(message);
  cursor->held.clear();
  rd_kafka_queue_cb_event_enable(cursor->queue, nullptr, nullptr);
  rd_kafka_queue_destroy(cursor->queue);
  rd_kafka_topic_destroy(cursor->handle);
}

void TailCursors::Stop(TailCursor* cursor) {
  rd_kafka_consume_stop(cursor->handle, cursor->partition);
  Release(cursor);
  auto found = std::find_if(cursors_.begin(), cursors_.end(),
                            [&](const auto& entry) { return entry.get() == cursor; });
  cursors_.erase(found);
}

void TailCursors::StopIdle(int64_t used_before_ms) {
  for (size_t i = cursors_.size(); i-- > 0;) {
    TailCursor* cursor = cursors_[i].get();
    if (!cursor->busy && cursor->used_ms < used_before_ms) Stop(cursor);
  }
}

void TailCursors::Refresh(TailCursor* cursor) {
  int64_t low = 0;
  int64_t high = 0;
  if (rd_kafka_get_watermark_offsets(consumers_[cursor->consumer].rk, cursor->topic.c_str(),
                                     cursor->partition, &low,
                                     &high) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return;
  }
  cursor->start = std::max(cursor->start, low);
  cursor->end = std::max({cursor->end, high, cursor->next});
}

}  // namespace mq::kafka

// One librdkafka producer: a generation. It is disposable: Retire() purges it, its own thread
// collects every report, destroys it and ends.
//
// Rules: (1) whoever calls into `rk()` holds a shared_ptr for the time of the call, and new ones
// are only handed out by the core before Retire; the drain thread destroys the producer when its
// own is the last. (2) Only the drain thread reads the event queue. (3) What a report frees
// (partition slots, lane counters) is freed before anyone is told that there is room.
#pragma once

#include <rdkafka.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "kafka/config.h"
#include "kafka/core-state.h"
#include "kafka/lifeline.h"

namespace mq::kafka {

class Instance {
 public:
  /// Null with a reason in `error`.
  static std::shared_ptr<Instance> Create(std::shared_ptr<CoreState> state, const Config& config,
                                          uint32_t generation, std::string* error);

  rd_kafka_t* rk() const { return rk_; }
  uint32_t generation() const { return generation_; }
  bool fatal() const { return fatal_.load(std::memory_order_relaxed); }
  void SetFatal() { fatal_.store(true); }
  /// Asks a broker of all topics, of one, or of those that are known; waits for so long at most.
  rd_kafka_resp_err_t AskMetadata(bool all, rd_kafka_topic_t* only, int timeout_ms,
                                  const struct rd_kafka_metadata** raw);

  /// The handle of a topic in this generation, made on first use.
  rd_kafka_topic_t* Handle(Topic* topic);

  /// Called by a lane whose message did not fit the queue: it hears when half of it is free.
  void AwaitRoom(Lane* lane);
  void AddInFlight(int64_t messages) { in_flight_.fetch_add(messages); }

  /// Begins the end; `gone` is called on the drain thread when all is destroyed. Never blocks.
  void Retire(std::function<void()> gone);

 private:
  using HandleBlock = std::array<std::atomic<rd_kafka_topic_t*>, 256>;
  /// Runs of one lane collected in a round of events.
  struct Collected {
    std::vector<VerdictRun> runs;
    int64_t messages = 0;
    int64_t bytes = 0;
  };

  Instance(std::shared_ptr<CoreState> state, uint32_t generation)
      : state_(std::move(state)), generation_(generation) {}

  static void Drain(std::shared_ptr<Instance> self);
  void HandleEvent(rd_kafka_event_t* event);
  Topic* TopicOf(const rd_kafka_topic_t* handle);
  void HandleReports(rd_kafka_event_t* event);
  void CountReport(const rd_kafka_message_t* message, Topic* topic, int64_t now_ms);
  void HandUp();
  void GiveRoom();
  void Broadcast(LaneEvent::Kind kind, int code, std::string text);
  void Destroy();

  std::shared_ptr<CoreState> state_;
  const uint32_t generation_;
  rd_kafka_t* rk_ = nullptr;
  rd_kafka_queue_t* queue_ = nullptr;
  std::unique_ptr<Lifeline> lifeline_;
  std::atomic<bool> fatal_{false};
  std::atomic<bool> retired_{false};
  std::atomic<int64_t> in_flight_{0};
  std::atomic<int64_t> room_below_{0};
  std::atomic<bool> room_wanted_{false};

  std::mutex handles_lock_;
  std::array<std::atomic<HandleBlock*>, 256> handles_{};
  // By name, since a handle's opaque is lost when somebody else made the topic known first.
  std::unordered_map<std::string, Topic*> topics_;

  std::mutex gone_lock_;
  std::function<void()> gone_;

  // Drain thread only.
  std::vector<const rd_kafka_message_t*> messages_;
  std::array<Collected, 256> collected_;
  std::vector<uint8_t> touched_;
  std::vector<Topic*> drained_;
};

}  // namespace mq::kafka

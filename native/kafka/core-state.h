// What the lanes, the instances and the service thread of one shared producer have in common. It
// lives as long as any of them.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kafka/lane.h"
#include "kafka/topic.h"

namespace mq::kafka {

class CoreState {
 public:
  CoreState() = default;
  ~CoreState();
  CoreState(const CoreState&) = delete;
  CoreState& operator=(const CoreState&) = delete;

  /// A lane that nobody has and of which no report is to come, with the sink attached; it is kept
  /// until the end. Null when the holder has one already (`held`), or when there is none.
  Lane* OpenLane(uint8_t holder, LaneSink* sink, bool* held);
  /// Null when the number was never used.
  Lane* FindLane(uint8_t id) { return lanes_[id].load(std::memory_order_acquire); }
  template <typename Visit>
  void EachLane(Visit visit) {
    for (auto& place : lanes_) {
      Lane* lane = place.load(std::memory_order_acquire);
      if (lane != nullptr) visit(*lane);
    }
  }

  /// Registers an id; null when the id has another name.
  Topic* SetTopic(uint16_t id, const std::string& name);
  Topic* FindTopic(uint16_t id) const;
  std::vector<Topic*> Topics();

  /// Tells every waiter of a topic that it may be sent.
  void TopicReady(Topic* topic);

  /// The cluster does not know the topic as it was: its partitions are asked for anew.
  void ForgetPartitions(Topic* topic) {
    if (topic->partitions.exchange(0) != 0) WantRefresh();
  }

  /// Why brokers cannot be used, as librdkafka said it last; "" since one of them answered.
  void SetTrouble(std::string text);
  std::string Trouble();

  /// Asks the service thread for metadata soon.
  void WantRefresh();
  /// Waits for a wish, the end, or the time; true = there was a wish.
  bool AwaitRefreshWish(int64_t wait_ms);
  void StopService();
  bool service_stopped() const { return service_stopped_.load(); }

 private:
  using TopicBlock = std::array<std::atomic<Topic*>, 256>;

  std::array<std::atomic<Lane*>, 256> lanes_{};
  std::array<std::atomic<TopicBlock*>, 256> topics_{};
  std::mutex lock_;  // for growing the tables, and for trouble_
  std::string trouble_;

  std::mutex wish_lock_;
  std::condition_variable wish_bell_;
  bool wish_ = false;
  std::atomic<bool> service_stopped_{false};
};

}  // namespace mq::kafka

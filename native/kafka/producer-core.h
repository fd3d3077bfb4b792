// A producer shared by the lanes of one key, in whatever threads they are.
//
// Rules: (1) the registry holds a core while a lane holds it; the last Release retires the
// instance. (2) Nothing here waits for the network, except on the service thread, which keeps a
// shared_ptr of the instance while it asks.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kafka/instance.h"
#include "kafka/metadata.h"

namespace mq::kafka {

class ProducerCore : public std::enable_shared_from_this<ProducerCore> {
 public:
  /// A core and a lane of it, which lives as long; or neither, and why.
  struct Hold {
    std::shared_ptr<ProducerCore> core;
    Lane* lane = nullptr;
    std::string error;
    /// Later there may be a lane.
    bool is_busy = false;
  };

  /// A lane of the core of a key, which is made with `config` when it is the first. None when a
  /// setting is bad, the holder has a lane already, or reports are to come of all that are free.
  static Hold Acquire(const std::string& key, const Config& config, uint8_t holder,
                      LaneSink* sink);

  /// Detaches the lane. When it was the last one, `done` is called after the instance is
  /// destroyed and the lane stays attached until then; else before this returns. `done` may be
  /// empty: then the lane is detached at once.
  void Release(Lane* lane, std::function<void()> done);

  CoreState& state() { return *state_; }

  /// False when the id has another name.
  bool SetTopic(uint16_t id, const std::string& name, int64_t slot_bytes_max, bool id_header);

  /// The instance in use; null when it could not be made.
  std::shared_ptr<Instance> Current();
  uint32_t generation();
  /// See KafkaProducer.renew. 0 with a reason when the new instance could not be made.
  uint32_t Renew(uint32_t of_generation, std::string* error);

  using MetadataDone = std::function<void(int code, std::string error, ClusterMetadata metadata)>;
  /// Asks on the service thread, and calls `done` there.
  void AskMetadata(std::string topic, int timeout_ms, MetadataDone done);

 private:
  struct Question {
    std::string topic;
    int64_t deadline_ms;
    MetadataDone done;
  };

  explicit ProducerCore(std::string key, Config config)
      : key_(std::move(key)), config_(std::move(config)), state_(std::make_shared<CoreState>()) {}

  void Service();
  void AnswerQuestions();
  /// True when every topic's partitions are known.
  bool RefreshTopics(bool all);
  bool TakeQuestion(Question* question);
  /// The text, and why brokers cannot be used where that is known.
  std::string WithTrouble(std::string text);

  const std::string key_;
  const Config config_;
  std::shared_ptr<CoreState> state_;
  std::mutex lock_;
  std::shared_ptr<Instance> current_;
  uint32_t generation_ = 0;
  int lanes_ = 0;  // guarded by the registry's lock
  std::deque<Question> questions_;
};

}  // namespace mq::kafka

#include "kafka/core-state.h"

#include <chrono>

namespace mq::kafka {

CoreState::~CoreState() {
  for (auto& place : lanes_) delete place.load();
  for (auto& place : topics_) {
    TopicBlock* block = place.load();
    if (block == nullptr) continue;
    for (auto& topic : *block) delete topic.load();
    delete block;
  }
}

Lane* CoreState::OpenLane(uint8_t holder, LaneSink* sink, bool* held) {
  std::lock_guard<std::mutex> guard(lock_);
  *held = false;
  EachLane([&](Lane& lane) { *held = *held || lane.IsHeldBy(holder); });
  if (*held) return nullptr;
  for (size_t id = 0; id < lanes_.size(); id++) {
    Lane* lane = lanes_[id].load();
    if (lane == nullptr) {
      lane = new Lane(static_cast<uint8_t>(id));
      lanes_[id].store(lane, std::memory_order_release);
    }
    if (lane->Attach(holder, sink)) return lane;
  }
  return nullptr;
}

Topic* CoreState::SetTopic(uint16_t id, const std::string& name) {
  std::lock_guard<std::mutex> guard(lock_);
  TopicBlock* block = topics_[id >> 8].load();
  if (block == nullptr) {
    block = new TopicBlock{};
    topics_[id >> 8].store(block, std::memory_order_release);
  }
  Topic* topic = (*block)[id & 255].load();
  if (topic == nullptr) {
    topic = new Topic(id, name);
    (*block)[id & 255].store(topic, std::memory_order_release);
  }
  return topic->name == name ? topic : nullptr;
}

Topic* CoreState::FindTopic(uint16_t id) const {
  TopicBlock* block = topics_[id >> 8].load(std::memory_order_acquire);
  return block == nullptr ? nullptr : (*block)[id & 255].load(std::memory_order_acquire);
}

std::vector<Topic*> CoreState::Topics() {
  std::vector<Topic*> found;
  for (auto& place : topics_) {
    TopicBlock* block = place.load(std::memory_order_acquire);
    if (block == nullptr) continue;
    for (auto& entry : *block) {
      Topic* topic = entry.load(std::memory_order_acquire);
      if (topic != nullptr) found.push_back(topic);
    }
  }
  return found;
}

void CoreState::TopicReady(Topic* topic) {
  topic->TakeWaiters([&](uint8_t id) {
    Lane* lane = FindLane(id);
    if (lane != nullptr) lane->AddReady(topic->id);
  });
}

void CoreState::SetTrouble(std::string text) {
  std::lock_guard<std::mutex> guard(lock_);
  trouble_ = std::move(text);
}

std::string CoreState::Trouble() {
  std::lock_guard<std::mutex> guard(lock_);
  return trouble_;
}

void CoreState::WantRefresh() {
  std::lock_guard<std::mutex> guard(wish_lock_);
  wish_ = true;
  wish_bell_.notify_one();
}

bool CoreState::AwaitRefreshWish(int64_t wait_ms) {
  std::unique_lock<std::mutex> guard(wish_lock_);
  wish_bell_.wait_for(guard, std::chrono::milliseconds(wait_ms),
                      [this] { return wish_ || service_stopped_; });
  const bool wished = wish_;
  wish_ = false;
  return wished;
}

void CoreState::StopService() {
  std::lock_guard<std::mutex> guard(wish_lock_);
  service_stopped_ = true;
  wish_bell_.notify_one();
}

}  // namespace mq::kafka

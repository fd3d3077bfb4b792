#include "kafka/producer-core.h"

#include <algorithm>
#include <thread>
#include <unordered_map>

namespace mq::kafka {
namespace {

constexpr int kRefreshTimeoutMs = 2000;
constexpr int64_t kRefreshEveryMs = 60'000;
constexpr int64_t kBackoffFirstMs = 100;
constexpr int64_t kBackoffMaxMs = 5'000;

struct Registry {
  std::mutex lock;
  std::unordered_map<std::string, std::shared_ptr<ProducerCore>> cores;
};

// Never destroyed: native threads may outlive main().
Registry& TheRegistry() {
  static auto* registry = new Registry();
  return *registry;
}

}  // namespace

ProducerCore::Hold ProducerCore::Acquire(const std::string& key, const Config& config,
                                         uint8_t holder, LaneSink* sink) {
  Hold hold;
  bool held = false;
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> guard(registry.lock);
  auto found = registry.cores.find(key);
  if (found != registry.cores.end()) {
    hold.lane = found->second->state_->OpenLane(holder, sink, &held);
    if (hold.lane == nullptr) {
      hold.is_busy = !held;
      hold.error = held ? "the lane holds this producer already"
                        : "too many former lanes still have messages in this producer";
      return hold;
    }
    hold.core = found->second;
    hold.core->lanes_++;
    return hold;
  }
  std::shared_ptr<ProducerCore> core(new ProducerCore(key, config));
  core->current_ = Instance::Create(core->state_, config, 1, &hold.error);
  if (core->current_ == nullptr) return hold;
  core->generation_ = 1;
  hold.lane = core->state_->OpenLane(holder, sink, &held);
  core->lanes_ = 1;
  registry.cores.emplace(key, core);
  std::thread([core] { core->Service(); }).detach();
  hold.core = std::move(core);
  return hold;
}

void ProducerCore::Release(Lane* lane, std::function<void()> done) {
  bool last = false;
  {
    Registry& registry = TheRegistry();
    std::lock_guard<std::mutex> guard(registry.lock);
    last = --lanes_ == 0;
    if (last) registry.cores.erase(key_);
  }
  if (!last || !done) lane->Detach();
  if (!last) {
    if (done) done();
    return;
  }
  std::shared_ptr<Instance> instance;
  {
    std::lock_guard<std::mutex> guard(lock_);
    instance.swap(current_);
  }
  state_->StopService();
  if (instance != nullptr) {
    instance->Retire(std::move(done));
  } else if (done) {
    done();
  }
}

bool ProducerCore::SetTopic(uint16_t id, const std::string& name, int64_t slot_bytes_max,
                            bool id_header) {
  Topic* topic = state_->SetTopic(id, name);
  if (topic == nullptr) return false;
  topic->slot_bytes_max.store(slot_bytes_max);
  topic->id_header.store(id_header);
  if (topic->partitions.load() == 0) state_->WantRefresh();
  return true;
}

std::shared_ptr<Instance> ProducerCore::Current() {
  std::lock_guard<std::mutex> guard(lock_);
  return current_;
}

uint32_t ProducerCore::generation() {
  std::lock_guard<std::mutex> guard(lock_);
  return generation_;
}

uint32_t ProducerCore::Renew(uint32_t of_generation, std::string* error) {
  std::shared_ptr<Instance> old;
  uint32_t now = 0;
  {
    std::lock_guard<std::mutex> guard(lock_);
    if (generation_ != of_generation) return generation_;
    std::shared_ptr<Instance> fresh =
        Instance::Create(state_, config_, of_generation + 1, error);
    if (fresh == nullptr) return 0;
    old = std::move(current_);
    current_ = std::move(fresh);
    now = ++generation_;
  }
  if (old != nullptr) old->Retire({});
  state_->WantRefresh();
  return now;
}

void ProducerCore::AskMetadata(std::string topic, int timeout_ms, MetadataDone done) {
  {
    std::lock_guard<std::mutex> guard(lock_);
    questions_.push_back({std::move(topic), SteadyMs() + timeout_ms, std::move(done)});
  }
  state_->WantRefresh();
}

bool ProducerCore::TakeQuestion(Question* question) {
  std::lock_guard<std::mutex> guard(lock_);
  if (questions_.empty()) return false;
  *question = std::move(questions_.front());
  questions_.pop_front();
  return true;
}

void ProducerCore::AnswerQuestions() {
  Question question;
  while (TakeQuestion(&question)) {
    const std::shared_ptr<Instance> instance = Current();
    if (instance == nullptr) {
      question.done(RD_KAFKA_RESP_ERR__DESTROY, "the producer is closed", {});
      continue;
    }
    // Time spent behind others counts: a cluster that is away must not cost each of them all of it.
    const int64_t left_ms = question.deadline_ms - SteadyMs();
    if (left_ms <= 0) {
      const rd_kafka_resp_err_t late = RD_KAFKA_RESP_ERR__TIMED_OUT;
      question.done(late, WithTrouble("nothing was answered in time"), {});
      continue;
    }
    // A light handle of its own, so that asking does not register the topic for sending.
    rd_kafka_topic_t* handle = question.topic.empty()
                                   ? nullptr
                                   : rd_kafka_topic_new(instance->rk(), question.topic.c_str(),
                                                        nullptr);
    const struct rd_kafka_metadata* raw = nullptr;
    const rd_kafka_resp_err_t code =
        instance->AskMetadata(handle == nullptr, handle, static_cast<int>(left_ms), &raw);
    if (handle != nullptr) rd_kafka_topic_destroy(handle);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      question.done(code, WithTrouble(rd_kafka_err2str(code)), {});
    } else {
      state_->SetTrouble("");
      question.done(0, "", TakeMetadata(raw));
    }
  }
}

std::string ProducerCore::WithTrouble(std::string text) {
  const std::string trouble = state_->Trouble();
  return trouble.empty() ? text : text + ": " + trouble;
}

bool ProducerCore::RefreshTopics(bool all) {
  const std::shared_ptr<Instance> instance = Current();
  if (instance == nullptr) return true;
  std::unordered_map<std::string, Topic*> asked;
  for (Topic* topic : state_->Topics()) {
    if (all || topic->partitions.load() == 0) asked.emplace(topic->name, topic);
  }
  if (asked.empty()) return true;
  rd_kafka_topic_t* only = nullptr;
  for (const auto& [name, topic] : asked) only = instance->Handle(topic);
  if (asked.size() > 1) only = nullptr;  // all that the instance knows, in one question
  const struct rd_kafka_metadata* raw = nullptr;
  if (instance->AskMetadata(false, only, kRefreshTimeoutMs, &raw) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return false;
  }
  state_->SetTrouble("");
  const ClusterMetadata metadata = TakeMetadata(raw);
  for (const TopicInfo& info : metadata.topics) {
    auto found = asked.find(info.name);
    if (found == asked.end()) continue;
    Topic* topic = found->second;
    topic->answered_code.store(info.code);
    topic->answered_ms.store(SteadyMs());
    if (info.code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) topic->partitions.store(0);
    if (info.code != 0 || info.partitions.empty()) continue;
    topic->partitions.store(static_cast<int32_t>(info.partitions.size()));
    topic->refreshed_ms.store(SteadyMs());
    state_->TopicReady(topic);
    asked.erase(found);
  }
  return std::all_of(asked.begin(), asked.end(),
                     [](const auto& entry) { return entry.second->partitions.load() != 0; });
}

void ProducerCore::Service() {
  NameThread("mq-metadata");
  int64_t backoff_ms = 0;
  int64_t refreshed = SteadyMs();
  bool wished = true;
  while (!state_->service_stopped()) {
    AnswerQuestions();
    const bool all = SteadyMs() - refreshed >= kRefreshEveryMs;
    const bool known = RefreshTopics(all);
    if (all) refreshed = SteadyMs();
    if (known) {
      backoff_ms = 0;
    } else {
      backoff_ms = std::clamp(backoff_ms * 2, kBackoffFirstMs, kBackoffMaxMs);
    }
    wished = state_->AwaitRefreshWish(known ? kRefreshEveryMs : backoff_ms);
    if (wished) backoff_ms = 0;
  }
  AnswerQuestions();
}

}  // namespace mq::kafka

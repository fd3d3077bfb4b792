#include "kafka/group-consumer.h"

#include <chrono>
#include <thread>

#include "kafka/system.h"

namespace mq::kafka {
namespace {

/// Between two looks while something is under way that may end by time alone.
constexpr int64_t kLookMs = 200;
/// The same, of a member at rest: everything that may happen to it rings. Far below
/// max.poll.interval.ms, since to look is to poll.
constexpr int64_t kRestMs = 5'000;
/// Mail that nobody takes for so long means that the process hangs.
constexpr int64_t kHungMs = 10'000;
/// Packed bytes in the box from which on reading waits.
constexpr size_t kMailBytesMax = 16 << 20;
constexpr int64_t kLeaveMs = 5'000;
constexpr int64_t kSayAgainMs = 1'000;

void OnEvent(rd_kafka_t*, void* signal) { (*static_cast<std::function<void()>*>(signal))(); }

}  // namespace

std::shared_ptr<GroupConsumer> GroupConsumer::Open(GroupSettings settings,
                                                   std::function<void()> ring,
                                                   std::string* error) {
  std::shared_ptr<GroupConsumer> self(new GroupConsumer(std::move(settings), std::move(ring)));
  if (!self->Create(error)) return nullptr;
  std::thread([self] { self->Run(); }).detach();
  return self;
}

bool GroupConsumer::Create(std::string* error) {
  Config config = settings_.config;
  config["group.id"] = settings_.group;
  rd_kafka_conf_t* conf = ConfOf(config, error);
  if (conf == nullptr) return false;
  rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_ERROR |
                                     RD_KAFKA_EVENT_OFFSET_COMMIT);
  rd_kafka_conf_set_log_cb(conf, nullptr);
  rk_ = NewClient(RD_KAFKA_CONSUMER, conf, error);
  if (rk_ == nullptr) return false;
  rd_kafka_poll_set_consumer(rk_);
  lifeline_ = std::make_unique<Lifeline>(rk_, settings_.config);
  asker_ = std::make_unique<CommittedAsker>(rk_);
  signal_ = [this] { Signal(); };
  queue_ = rd_kafka_queue_get_consumer(rk_);
  replies_ = rd_kafka_queue_new(rk_);
  rd_kafka_queue_cb_event_enable(queue_, OnEvent, &signal_);
  rd_kafka_queue_cb_event_enable(replies_, OnEvent, &signal_);
  return true;
}

void GroupConsumer::Signal() {
  std::lock_guard<std::mutex> guard(lock_);
  signalled_ = true;
  bell_.notify_one();
}

void GroupConsumer::Post(Command command) {
  std::lock_guard<std::mutex> guard(lock_);
  inbox_.push_back(std::move(command));
  signalled_ = true;
  bell_.notify_one();
}

void GroupConsumer::SetTopics(std::vector<std::string> topics) {
  Post([this, topics = std::move(topics)] { DoSubscribe(topics); });
}

void GroupConsumer::Start(Place place, uint32_t epoch, int64_t offset) {
  Post([this, place = std::move(place), epoch, offset] { DoStart(place, epoch, offset); });
}

void GroupConsumer::Want(Place place, uint32_t epoch, int64_t bytes) {
  Post([this, place = std::move(place), epoch, bytes] { DoWant(place, epoch, bytes); });
}

void GroupConsumer::Revoked(int serial) {
  Post([this, serial] {
    if (serial == revoke_serial_) FinishRevoke();
  });
}

void GroupConsumer::Close(std::function<void()> done) {
  Post([this, done = std::move(done)]() mutable { DoClose(std::move(done)); });
}

void GroupConsumer::Abandon() {
  Post([this] {
    abandoned_ = true;
    FinishRevoke();
    DoClose({});
  });
}

void GroupConsumer::TakeMail(std::vector<GroupNote>* notes) {
  std::lock_guard<std::mutex> guard(lock_);
  notes->clear();
  notes->swap(mail_);
  mail_bytes_ = 0;
  if (!work_left_) return;
  signalled_ = true;
  bell_.notify_one();
}

bool GroupConsumer::WaitForWork(std::deque<Command>* commands) {
  std::unique_lock<std::mutex> guard(lock_);
  const bool full = mail_bytes_ >= kMailBytesMax;
  if (!work_left_ || full) {
    // Mail that is out is watched, to see that somebody takes it.
    const bool at_rest = mail_.empty() && !revoking_ && !closing_ && commits_.empty() &&
                         !unseated_ && !lifeline_->in_doubt();
    const std::chrono::milliseconds most(at_rest ? kRestMs : kLookMs);
    bell_.wait_for(guard, most, [this] { return signalled_; });
  }
  signalled_ = false;
  commands->swap(inbox_);
  return mail_.empty() || SteadyMs() - mail_since_ms_ < kHungMs;
}

void GroupConsumer::Run() {
  NameThread("mq-group");
  DoSubscribe(settings_.topics);
  for (;;) {
    std::deque<Command> commands;
    const bool awake = WaitForWork(&commands);
    for (Command& command : commands) command();
    if (awake || closing_) {
      ServeEvents(queue_);
      ServePartitions();
    }
    ServeEvents(replies_);
    const int64_t now = SteadyMs();
    ServeRevoke(now);
    ServeUnseated(now);
    ServeCommits(now);
    lifeline_->Look();
    HandUp();
    if (IsClosed(now)) break;
  }
  Shut();
}

void GroupConsumer::HandUp() {
  if (out_.empty()) return;
  {
    std::lock_guard<std::mutex> guard(lock_);
    if (mail_.empty()) mail_since_ms_ = SteadyMs();
    for (GroupNote& note : out_) mail_.push_back(std::move(note));
    mail_bytes_ += out_bytes_;
  }
  out_.clear();
  out_bytes_ = 0;
  ring_();
}

void GroupConsumer::ServeEvents(rd_kafka_queue_t* queue) {
  for (;;) {
    rd_kafka_event_t* event = rd_kafka_queue_poll(queue, 0);
    if (event == nullptr) return;
    HandleEvent(event);
    rd_kafka_event_destroy(event);
  }
}

void GroupConsumer::HandleEvent(rd_kafka_event_t* event) {
  switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_REBALANCE:
      HandleRebalance(event);
      break;
    case RD_KAFKA_EVENT_OFFSET_COMMIT:
      HandleCommit(event);
      break;
    case RD_KAFKA_EVENT_ERROR:
      if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) lifeline_->Doubt();
      AddError(rd_kafka_event_error(event), rd_kafka_event_error_string(event), nullptr);
      break;
    default:
      break;
  }
}

void GroupConsumer::DoSubscribe(const std::vector<std::string>& topics) {
  if (closing_) return;
  rd_kafka_topic_partition_list_t* list =
      rd_kafka_topic_partition_list_new(static_cast<int>(topics.size()));
  for (const std::string& topic : topics) {
    rd_kafka_topic_partition_list_add(list, topic.c_str(), RD_KAFKA_PARTITION_UA);
  }
  const rd_kafka_resp_err_t code =
      topics.empty() ? rd_kafka_unsubscribe(rk_) : rd_kafka_subscribe(rk_, list);
  rd_kafka_topic_partition_list_destroy(list);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) AddError(code, rd_kafka_err2str(code), nullptr);
}

GroupPartition* GroupConsumer::Find(const Place& place) const {
  auto found = partitions_.find(KeyOf(place.topic, place.partition));
  return found == partitions_.end() ? nullptr : found->second.get();
}

void GroupConsumer::ServePartitions() {
  work_left_ = false;
  for (auto& [key, partition] : partitions_) {
    if (!partition->HasWork()) continue;
    if (out_bytes_ >= kMailBytesMax) {
      work_left_ = true;
      return;
    }
    GroupNote note;
    note.kind = GroupNote::kRecords;
    int failed = 0;
    if (partition->Pack(rk_, settings_.batch_bytes_max, &note.batch, &failed)) {
      out_bytes_ += note.batch.records.size();
      out_.push_back(std::move(note));
      if (partition->HasWork()) work_left_ = true;
    } else if (failed != 0) {
      AddError(RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, "the offset is not in the log",
               partition.get());
      partition->Halt();
    }
  }
}

void GroupConsumer::DoClose(std::function<void()> done) {
  if (closing_) return;
  closing_ = true;
  closed_ = std::move(done);
  close_until_ms_ = SteadyMs() + kLeaveMs + (abandoned_ ? 0 : settings_.revoke_timeout_ms);
  // Not to the consumer's own queue, which it would then forward to itself.
  rd_kafka_error_t* error = rd_kafka_consumer_close_queue(rk_, replies_);
  if (error != nullptr) rd_kafka_error_destroy(error);
}

bool GroupConsumer::IsClosed(int64_t now_ms) {
  if (!closing_ || revoking_) return false;
  return rd_kafka_consumer_closed(rk_) != 0 || now_ms >= close_until_ms_;
}

void GroupConsumer::Shut() {
  EndCommits();
  asker_->Close();
  partitions_.clear();
  rd_kafka_queue_cb_event_enable(queue_, nullptr, nullptr);
  rd_kafka_queue_cb_event_enable(replies_, nullptr, nullptr);
  rd_kafka_queue_destroy(queue_);
  rd_kafka_queue_destroy(replies_);
  rd_kafka_destroy_flags(rk_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
  if (closed_) closed_();
}

void GroupConsumer::Add(GroupNote::Kind kind, std::vector<Place> places) {
  GroupNote note;
  note.kind = kind;
  note.places = std::move(places);
  out_.push_back(std::move(note));
}

void GroupConsumer::AddError(int code, std::string text, const GroupPartition* partition) {
  // A broker that is away says so many times a second.
  const int64_t now = SteadyMs();
  if (partition == nullptr) {
    auto [said, is_new] = said_ms_.emplace(code, now);
    if (!is_new && now - said->second < kSayAgainMs) return;
    said->second = now;
  }
  GroupNote note;
  note.kind = GroupNote::kError;
  note.code = code;
  note.text = std::move(text);
  if (partition != nullptr) {
    note.places.push_back(partition->place());
    note.epoch = partition->epoch();
  }
  out_.push_back(std::move(note));
}

}  // namespace mq::kafka

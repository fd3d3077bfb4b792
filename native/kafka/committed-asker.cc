#include "kafka/committed-asker.h"

#include <algorithm>
#include <utility>

#include "kafka/system.h"

namespace mq::kafka {
namespace {

constexpr int64_t kAskMs = 10'000;
/// A call that finds the coordinator unknown may sleep through its coming, so the first are short;
/// the last are for a broker that is slow to answer.
constexpr int kFirstCallMs = 100;
constexpr int kLongestCallMs = 3'000;

void Fail(const CommittedDone& done, rd_kafka_resp_err_t code) {
  done(code, rd_kafka_err2str(code), {});
}

}  // namespace

void CommittedAsker::Ask(std::vector<Place> places, CommittedDone done) {
  if (places.empty()) return done(0, "", {});
  {
    std::lock_guard<std::mutex> guard(lock_);
    if (!closed_) {
      questions_.push_back({std::move(places), std::move(done), SteadyMs() + kAskMs});
      if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
      bell_.notify_one();
      return;
    }
  }
  Fail(done, RD_KAFKA_RESP_ERR__DESTROY);
}

void CommittedAsker::Close() {
  std::deque<Question> left;
  {
    std::lock_guard<std::mutex> guard(lock_);
    closed_ = true;
    left.swap(questions_);
    bell_.notify_one();
  }
  for (const Question& question : left) Fail(question.done, RD_KAFKA_RESP_ERR__DESTROY);
  if (thread_.joinable()) thread_.join();
}

void CommittedAsker::Run() {
  NameThread("mq-committed");
  for (;;) {
    Question question;
    {
      std::unique_lock<std::mutex> guard(lock_);
      bell_.wait(guard, [this] { return closed_ || !questions_.empty(); });
      if (closed_) return;
      question = std::move(questions_.front());
      questions_.pop_front();
    }
    Answer(question);
  }
}

void CommittedAsker::Answer(const Question& question) {
  auto* list = rd_kafka_topic_partition_list_new(static_cast<int>(question.places.size()));
  for (const Place& place : question.places) {
    rd_kafka_topic_partition_list_add(list, place.topic.c_str(), place.partition);
  }
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
  for (int call_ms = kFirstCallMs; code == RD_KAFKA_RESP_ERR__TIMED_OUT;
       call_ms = std::min(2 * call_ms, kLongestCallMs)) {
    const int64_t left = question.until_ms - SteadyMs();
    if (left <= 0) break;
    if (IsClosed()) code = RD_KAFKA_RESP_ERR__DESTROY;
    else code = rd_kafka_committed(rk_, list, static_cast<int>(std::min<int64_t>(call_ms, left)));
  }
  std::vector<GroupOffset> offsets;
  for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
    const rd_kafka_topic_partition_t& entry = list->elems[i];
    code = entry.err;
    GroupOffset offset{{entry.topic, entry.partition}, entry.offset, {}};
    if (entry.metadata != nullptr) {
      offset.metadata.assign(static_cast<const char*>(entry.metadata), entry.metadata_size);
    }
    offsets.push_back(std::move(offset));
  }
  rd_kafka_topic_partition_list_destroy(list);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return Fail(question.done, code);
  question.done(0, "", std::move(offsets));
}

bool CommittedAsker::IsClosed() {
  std::lock_guard<std::mutex> guard(lock_);
  return closed_;
}

}  // namespace mq::kafka

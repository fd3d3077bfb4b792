#include "kafka/lane.h"

namespace mq::kafka {
namespace {

// Log lines and errors beyond these are dropped: a broker that is away repeats itself.
constexpr size_t kEventsMax = 64;

}  // namespace

bool Lane::Attach(uint8_t holder, LaneSink* sink) {
  std::lock_guard<std::mutex> guard(lock_);
  if (sink_ != nullptr || messages.load() != 0) return false;
  sink_ = sink;
  holder_ = holder;
  woken_ = false;
  mail_ = LaneMail{};
  return true;
}

void Lane::Detach() {
  std::lock_guard<std::mutex> guard(lock_);
  sink_ = nullptr;
  mail_ = LaneMail{};
}

bool Lane::IsHeldBy(uint8_t holder) {
  std::lock_guard<std::mutex> guard(lock_);
  return sink_ != nullptr && holder_ == holder;
}

void Lane::WakeLocked() {
  if (woken_) return;
  woken_ = true;
  sink_->Wake();
}

void Lane::AddVerdicts(const std::vector<VerdictRun>& runs, int64_t reported,
                       int64_t reported_bytes) {
  std::lock_guard<std::mutex> guard(lock_);
  messages.fetch_sub(reported);
  bytes.fetch_sub(reported_bytes);
  if (sink_ == nullptr || runs.empty()) return;
  mail_.verdicts.insert(mail_.verdicts.end(), runs.begin(), runs.end());
  WakeLocked();
}

void Lane::AddReady(int32_t topic) {
  std::lock_guard<std::mutex> guard(lock_);
  if (sink_ == nullptr) return;
  mail_.ready.push_back(topic);
  WakeLocked();
}

void Lane::AddEvent(const LaneEvent& event) {
  std::lock_guard<std::mutex> guard(lock_);
  if (sink_ == nullptr) return;
  if (mail_.events.size() >= kEventsMax && event.kind != LaneEvent::kFatal) return;
  mail_.events.push_back(event);
  WakeLocked();
}

bool Lane::Take(LaneMail* mail) {
  bool idle = false;
  {
    std::lock_guard<std::mutex> guard(lock_);
    std::swap(*mail, mail_);
    woken_ = false;
    idle = messages.load() <= 0;
  }
  SortAndMerge(&mail->verdicts);
  return idle;
}

}  // namespace mq::kafka

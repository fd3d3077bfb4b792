#include "kafka/tail-reader.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <thread>

#include "kafka/tail-record.h"
#include "kafka/system.h"

namespace mq::kafka {
namespace {

constexpr size_t kMessagesPerTake = 1000;
constexpr int64_t kIdleMs = 10'000;
constexpr int64_t kLookMs = 1'000;
// A read that does not want to wait still gives the broker this long for what is in the log.
constexpr int64_t kGraceMs = 5'000;

bool IsFinal(int code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__FATAL:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::shared_ptr<TailReader> TailReader::Open(Config config, size_t cursors_max,
                                             std::string* error) {
  std::shared_ptr<TailReader> self(new TailReader(std::move(config), cursors_max));
  if (!self->cursors_.Open(error)) return nullptr;
  std::thread([self] { self->Serve(); }).detach();
  std::thread([self] { self->Ask(); }).detach();
  return self;
}

void TailReader::Signal() {
  std::lock_guard<std::mutex> guard(lock_);
  signalled_ = true;
  bell_.notify_one();
}

void TailReader::Read(ReadPtr read) {
  read->deadline_ms = SteadyMs() + read->wait_ms;
  {
    std::lock_guard<std::mutex> guard(lock_);
    if (!closed_) {
      inbox_.push_back(std::move(read));
      signalled_ = true;
      bell_.notify_one();
      return;
    }
  }
  Fail(read.get(), RD_KAFKA_RESP_ERR__DESTROY, "the reader is closed");
}

void TailReader::Close(std::function<void()> done) {
  std::lock_guard<std::mutex> guard(lock_);
  closed_ = true;
  closed_done_ = std::move(done);
  bell_.notify_one();
  ask_bell_.notify_one();
}

void TailReader::Fail(TailRead* read, int code, const std::string& error) {
  read->answer.code = code;
  read->answer.error = error;
  read->answer.records.clear();
  read->done(std::move(read->answer));
}

void TailReader::Doubt(TailRead* read) {
  read->doubted = true;
  read->at_end = false;
  read->asked = false;
  read->from = TailFrom::kOffset;
  read->position = read->cursor->next;
  cursors_.Stop(read->cursor);
  read->cursor = nullptr;
}

void TailReader::Finish(TailRead* read) {
  TailCursor* cursor = read->cursor;
  cursors_.Refresh(cursor);
  cursor->busy = false;
  cursor->used_ms = SteadyMs();
  read->answer.start = cursor->start;
  read->answer.end = std::max(cursor->end, cursor->next);
  read->answer.next = cursor->next;
  read->done(std::move(read->answer));
}

void TailReader::Serve() {
  NameThread("mq-tail");
  std::unique_lock<std::mutex> guard(lock_);
  while (!closed_) {
    int64_t wait_ms = kLookMs;
    const int64_t now = SteadyMs();
    for (const ReadPtr& read : active_) {
      wait_ms = std::clamp<int64_t>(read->deadline_ms - now, 0, wait_ms);
    }
    bell_.wait_for(guard, std::chrono::milliseconds(wait_ms),
                   [this] { return signalled_ || closed_; });
    signalled_ = false;
    std::deque<ReadPtr> arrived;
    arrived.swap(inbox_);
    guard.unlock();
    std::vector<ReadPtr> waited;
    waited.swap(waiting_);
    for (ReadPtr& read : waited) Admit(std::move(read));
    for (ReadPtr& read : arrived) Admit(std::move(read));
    cursors_.Look();
    const int64_t served = SteadyMs();
    bool freed = false;
    for (size_t i = 0; i < active_.size();) {
      if (Advance(active_[i].get(), served)) {
        ReadPtr read = std::move(active_[i]);
        active_.erase(active_.begin() + static_cast<ptrdiff_t>(i));
        freed = true;
        if (read->doubted && !read->asked) Admit(std::move(read));
      } else {
        i++;
      }
    }
    cursors_.StopIdle(served - kIdleMs);
    guard.lock();
    // What waits for a cursor need not wait for a signal.
    if (freed && !waiting_.empty()) signalled_ = true;
  }
  std::vector<ReadPtr> own = std::move(active_);
  std::move(waiting_.begin(), waiting_.end(), std::back_inserter(own));
  End(std::move(guard), std::move(own));
}

void TailReader::End(std::unique_lock<std::mutex> guard, std::vector<ReadPtr> own) {
  // Either thread may have put a read there for the other, which has ended meanwhile.
  for (std::deque<ReadPtr>* queue : {&inbox_, &to_ask_}) {
    std::move(queue->begin(), queue->end(), std::back_inserter(own));
    queue->clear();
  }
  const bool last = --threads_ == 0;
  guard.unlock();
  for (ReadPtr& read : own) Fail(read.get(), RD_KAFKA_RESP_ERR__DESTROY, "the reader is closed");
  if (!last) return;
  cursors_.Shut();
  if (closed_done_) closed_done_();
}

void TailReader::Admit(ReadPtr read) {
  const bool may_go_on = !read->asked && !read->doubted && !read->offsets_only;
  if (may_go_on && read->from == TailFrom::kOffset) {
    read->cursor = cursors_.Find(read->topic, read->partition, read->position);
  }
  if (read->cursor == nullptr && !read->asked) {
    std::lock_guard<std::mutex> guard(lock_);
    to_ask_.push_back(std::move(read));
    ask_bell_.notify_one();
    return;
  }
  if (read->cursor == nullptr) {
    std::string error;
    const int code = StartCursor(read.get(), &error);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && SteadyMs() < read->deadline_ms + kGraceMs) {
      waiting_.push_back(std::move(read));
      return;
    }
    if (code != 0) {
      Fail(read.get(), code, error);
      return;
    }
  }
  read->cursor->busy = true;
  // What is known to be there is waited for, even by a read that does not want to wait.
  const int64_t behind = read->cursor->end - read->cursor->next;
  if (behind > 0) read->deadline_ms = std::max(read->deadline_ms, SteadyMs() + kGraceMs);
  active_.push_back(std::move(read));
}

int TailReader::StartCursor(TailRead* read, std::string* error) {
  int code = 0;
  const int64_t offset = read->position;
  read->cursor = cursors_.Find(read->topic, read->partition, offset);
  if (read->cursor == nullptr) {
    read->cursor = cursors_.Start(read->topic, read->partition, offset, &code, error);
  }
  if (read->cursor == nullptr) return code;
  read->cursor->start = read->answer.start;
  read->cursor->end = std::max(read->cursor->end, read->answer.end);
  // One that was idle meanwhile may know only of the outage; the brokers have answered since.
  if (read->doubted) read->cursor->trouble = 0;
  return 0;
}

bool TailReader::TakeMessage(TailRead* read, rd_kafka_message_t* message) {
  TailAnswer& answer = read->answer;
  const size_t bytes = TailRecordBytesMax(message);
  if (answer.count > 0 && answer.records.size() + bytes > read->bytes_max) return false;
  AppendTailRecord(message, &answer.records);
  answer.count++;
  read->cursor->next = message->offset + 1;
  rd_kafka_message_destroy(message);
  return true;
}

bool TailReader::Advance(TailRead* read, int64_t now_ms) {
  TailCursor* cursor = read->cursor;
  int failed = 0;
  bool full = false;
  while (failed == 0 && !full) {
    if (cursor->held.empty()) {
      taken_.resize(kMessagesPerTake);
      const ssize_t n =
          rd_kafka_consume_batch_queue(cursor->queue, 0, taken_.data(), taken_.size());
      if (n <= 0) break;
      cursor->held.insert(cursor->held.end(), taken_.begin(), taken_.begin() + n);
    }
    rd_kafka_message_t* message = cursor->held.front();
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      cursor->trouble = 0;
      if (TakeMessage(read, message)) {
        cursor->held.pop_front();
      } else {
        full = true;
      }
      continue;
    }
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      // Beyond control records there is nothing to read on from below.
      cursor->next = std::max(cursor->next, message->offset);
      cursor->end = std::max(cursor->end, message->offset);
      read->at_end = true;
      cursor->trouble = 0;
    } else if (IsFinal(message->err)) {
      // Records before it are given first; the next read meets it again.
      if (read->answer.count > 0) break;
      failed = message->err;
    } else {
      cursor->trouble = message->err;
    }
    rd_kafka_message_destroy(message);
    cursor->held.pop_front();
  }
  const bool over = now_ms >= read->deadline_ms || (read->at_end && read->wait_ms == 0);
  // librdkafka says that no broker can be reached, and not that one can be again.
  if (over && read->answer.count == 0 && failed == 0 && cursor->trouble != 0) {
    if (!read->doubted) {
      Doubt(read);
      return true;
    }
    failed = cursor->trouble;
  }
  if (failed != 0) {
    if (failed == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
      failed = RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
    }
    cursors_.Stop(cursor);
    Fail(read, failed, rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(failed)));
    return true;
  }
  if (read->answer.count == 0 && !over) return false;
  Finish(read);
  return true;
}

void TailReader::Ask() {
  NameThread("mq-tail-ask");
  std::unique_lock<std::mutex> guard(lock_);
  while (!closed_) {
    ask_bell_.wait(guard, [this] { return closed_ || !to_ask_.empty(); });
    if (closed_) break;
    ReadPtr read = std::move(to_ask_.front());
    to_ask_.pop_front();
    guard.unlock();
    const bool more = AskOffsets(read.get());
    guard.lock();
    if (!more) continue;
    inbox_.push_back(std::move(read));
    signalled_ = true;
    bell_.notify_one();
  }
  End(std::move(guard), {});
}

bool TailReader::AskOffsets(TailRead* read) {
  // Those that waited behind an outage for longer than they could take are not asked any more.
  if (SteadyMs() > read->deadline_ms + read->ask_timeout_ms) {
    Fail(read, RD_KAFKA_RESP_ERR__TIMED_OUT, "the brokers do not answer");
    return false;
  }
  rd_kafka_t* rk = cursors_.asker();
  const char* topic = read->topic.c_str();
  TailAnswer& answer = read->answer;
  rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
      rk, topic, read->partition, &answer.start, &answer.end, read->ask_timeout_ms);
  int64_t position = read->position;
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR && read->from == TailFrom::kTime &&
      !read->offsets_only) {
    rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t* entry =
        rd_kafka_topic_partition_list_add(list, topic, read->partition);
    entry->offset = read->position;
    code = rd_kafka_offsets_for_times(rk, list, read->ask_timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) code = entry->err;
    position = entry->offset < 0 ? answer.end : entry->offset;
    rd_kafka_topic_partition_list_destroy(list);
  }
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    cursors_.DoubtAsker();
    Fail(read, code, rd_kafka_err2str(code));
    return false;
  }
  if (read->offsets_only) {
    read->done(std::move(answer));
    return false;
  }
  if (read->from == TailFrom::kBeginning) position = answer.start;
  if (read->from == TailFrom::kEnd) position = answer.end;
  if (position < answer.start || position > answer.end) {
    Fail(read, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
         "offset " + std::to_string(position) + " is not in [" + std::to_string(answer.start) +
             ", " + std::to_string(answer.end) + "]");
    return false;
  }
  read->position = position;
  read->asked = true;
  return true;
}

}  // namespace mq::kafka

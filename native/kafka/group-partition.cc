#include "kafka/group-partition.h"

#include <algorithm>

#include "kafka/tail-record.h"

namespace mq::kafka {
namespace {

constexpr size_t kMessagesPerTake = 1000;

/// What ends a partition's fetching until it is started again.
bool EndsFetching(int code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
      return true;
    default:
      return false;
  }
}

}  // namespace

void GroupPartition::OnData(rd_kafka_t*, void* self) {
  auto* partition = static_cast<GroupPartition*>(self);
  partition->ready_.store(true);
  partition->on_data_();
}

void GroupPartition::Open(rd_kafka_t* rk) {
  if (queue_ != nullptr) return;
  queue_ = rd_kafka_queue_get_partition(rk, place_.topic.c_str(), place_.partition);
  if (queue_ == nullptr) return;
  rd_kafka_queue_forward(queue_, nullptr);
  rd_kafka_queue_cb_event_enable(queue_, OnData, this);
}

void GroupPartition::Restart(uint32_t epoch, int64_t offset) {
  DropHeld();
  credit_.reset();
  epoch_ = epoch;
  next_ = offset;
  seated = false;
  ready_.store(true);
}

void GroupPartition::Halt() {
  DropHeld();
  credit_.reset();
  epoch_ = 0;
}

void GroupPartition::Stop() {
  Halt();
  if (queue_ == nullptr) return;
  rd_kafka_queue_cb_event_enable(queue_, nullptr, nullptr);
  rd_kafka_queue_destroy(queue_);
  queue_ = nullptr;
}

void GroupPartition::DropHeld() {
  for (rd_kafka_message_t* message : held_) rd_kafka_message_destroy(message);
  held_.clear();
}

bool GroupPartition::Refill() {
  taken_.resize(kMessagesPerTake);
  // Cleared first: what comes after the look rings again.
  ready_.store(false);
  const size_t most = credit_.records(kMessagesPerTake);
  const ssize_t n = rd_kafka_consume_batch_queue(queue_, 0, taken_.data(), most);
  if (n <= 0) return false;
  held_.insert(held_.end(), taken_.begin(), taken_.begin() + n);
  // The queue rings only when it was empty before.
  ready_.store(true);
  return true;
}

bool GroupPartition::Pack(rd_kafka_t* rk, size_t bytes_max, GroupBatch* batch, int* failed) {
  *failed = 0;
  std::vector<uint8_t>& records = batch->records;
  const size_t room = static_cast<size_t>(
      std::clamp<int64_t>(credit_.left(), 0, static_cast<int64_t>(bytes_max)));
  while (records.size() < room && *failed == 0) {
    if (held_.empty() && !Refill()) break;
    rd_kafka_message_t* message = held_.front();
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      const auto start = static_cast<uint32_t>(records.size());
      if (start == 0) {
        // For what is there, at the length of the first: a vector that grows copies it all again.
        const size_t each = TailRecordBytesMax(message);
        records.reserve(std::min(room, each * (held_.size() - 1)) + each);
      }
      batch->index.add(start, static_cast<uint64_t>(message->offset),
                       static_cast<const uint8_t*>(message->key), message->key_len);
      AppendTailRecord(message, &records);
      next_ = message->offset + 1;
    } else if (EndsFetching(message->err)) {
      // Records before it are given first; the next call meets it again.
      if (!records.empty()) break;
      *failed = message->err;
    }
    rd_kafka_message_destroy(message);
    held_.pop_front();
  }
  if (records.empty()) return false;
  batch->index.finish(static_cast<uint32_t>(records.size()));
  credit_.spend(records.size(), batch->index.offsets.size());
  batch->place = place_;
  batch->epoch = epoch_;
  batch->next = next_;
  int64_t low = 0;
  int64_t high = 0;
  rd_kafka_get_watermark_offsets(rk, place_.topic.c_str(), place_.partition, &low, &high);
  batch->end = std::max(high, next_);
  return true;
}

}  // namespace mq::kafka

// A partition of a group's member: its own queue, read only against credit. The consumer's thread
// alone uses it, except `ready`, which librdkafka's threads set.
#pragma once

#include <rdkafka.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "core/fetch-credit.h"
#include "kafka/group-mail.h"

namespace mq::kafka {

class GroupPartition {
 public:
  /// `on_data` is called on native threads when the empty queue got something.
  GroupPartition(Place place, std::function<void()> on_data)
      : place_(std::move(place)), on_data_(std::move(on_data)) {}
  ~GroupPartition() { Stop(); }
  GroupPartition(const GroupPartition&) = delete;
  GroupPartition& operator=(const GroupPartition&) = delete;

  const Place& place() const { return place_; }
  bool started() const { return queue_ != nullptr; }
  uint32_t epoch() const { return epoch_; }
  /// The offset that comes next.
  int64_t next() const { return next_; }

  /// Takes the partition's queue out of the consumer's; before it is assigned with an offset.
  void Open(rd_kafka_t* rk);
  /// From now on what was fetched before is not given any more.
  void Restart(uint32_t epoch, int64_t offset);
  /// Gives back what was fetched, and the queue.
  void Stop();

  /// Nothing is given any more, until the next Restart.
  void Halt();

  /// In librdkafka's own assignment.
  bool assigned = false;
  /// There from where the last Restart said.
  bool seated = false;

  void Want(int64_t bytes) { credit_.want(bytes); }
  bool HasWork() const {
    return started() && seated && credit_.open() && (!held_.empty() || ready_.load());
  }
  /// Packs what there is, at most `bytes_max` at a time. False when there was nothing to pack;
  /// `failed` is then an error that ended the partition's fetching, or 0.
  bool Pack(rd_kafka_t* rk, size_t bytes_max, GroupBatch* batch, int* failed);

 private:
  static void OnData(rd_kafka_t*, void* self);
  void DropHeld();
  bool Refill();

  const Place place_;
  const std::function<void()> on_data_;
  rd_kafka_queue_t* queue_ = nullptr;
  std::atomic<bool> ready_{false};
  FetchCredit credit_;
  uint32_t epoch_ = 0;
  int64_t next_ = 0;
  /// Taken from the queue, not packed yet.
  std::deque<rd_kafka_message_t*> held_;
  std::vector<rd_kafka_message_t*> taken_;
};

}  // namespace mq::kafka

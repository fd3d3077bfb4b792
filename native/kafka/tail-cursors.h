// Open positions in partitions. A consumer handle can hold a partition once, so cursors of one
// partition are spread over handles. One thread uses all of it.
#pragma once

#include <rdkafka.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kafka/config.h"
#include "kafka/lifeline.h"

namespace mq::kafka {

struct TailCursor {
  std::string topic;
  int32_t partition = 0;
  size_t consumer = 0;
  rd_kafka_topic_t* handle = nullptr;
  rd_kafka_queue_t* queue = nullptr;
  int64_t next = 0;   // offset that comes next
  int64_t start = 0;  // log start and end, as last seen
  int64_t end = 0;
  bool busy = false;
  int64_t used_ms = 0;
  /// Why nothing may come of it, as librdkafka said it since something came; 0 = it has not.
  int trouble = 0;
  /// Taken from the queue, but did not fit the read.
  std::deque<rd_kafka_message_t*> held;
};

class TailCursors {
 public:
  /// `on_data` is called on native threads when a cursor's empty queue got something.
  TailCursors(Config config, size_t cursors_max, std::function<void()> on_data);
  ~TailCursors() { Shut(); }

  /// Makes the asker, so that bad settings show at once.
  bool Open(std::string* error);
  /// A handle to ask offsets with: one that never fetches, since an answer would wait behind the
  /// fetches of its connection. Any thread may use it until Shut.
  rd_kafka_t* asker() const { return asker_.rk; }
  /// An answer of the asker did not come. Any thread, until Shut.
  void DoubtAsker() { asker_.lifeline->Doubt(); }
  /// Ends all of it, which may wait for native threads.
  void Shut();

  /// An idle cursor that stands at `next`, or null.
  TailCursor* Find(const std::string& topic, int32_t partition, int64_t next);
  /// A new cursor; the idle one used longest ago may go. Null when all are busy (`_QUEUE_FULL`), or
  /// Kafka refuses, or no consumer could be made; with a code, and in words.
  TailCursor* Start(const std::string& topic, int32_t partition, int64_t offset, int* code,
                    std::string* error);
  void Stop(TailCursor* cursor);
  void StopIdle(int64_t used_before_ms);
  /// Notes at their cursors which consumers reach no broker, and helps those; about once a second.
  void Look();
  /// Reads the last seen log start and end.
  void Refresh(TailCursor* cursor);

 private:
  using List = std::vector<std::unique_ptr<TailCursor>>;

  struct Consumer {
    rd_kafka_t* rk = nullptr;
    std::unique_ptr<Lifeline> lifeline;
  };

  /// One without a handle when it could not be made.
  Consumer NewConsumer(int events, std::string* error);
  /// A consumer without the partition; consumers_.size() when there is none, with an error when
  /// one more could not be made.
  size_t ConsumerFor(const std::string& topic, int32_t partition, std::string* error);
  bool StopOldest(const std::string* topic, int32_t partition);
  void Release(TailCursor* cursor);

  const Config config_;
  const size_t cursors_max_;
  std::function<void()> on_data_;
  Consumer asker_;
  std::vector<Consumer> consumers_;
  List cursors_;
};

}  // namespace mq::kafka

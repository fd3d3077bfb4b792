// What a group has committed, asked for by a thread of its own.
//
// librdkafka's call waits, and its way without waiting (ListConsumerGroupOffsets) is not for use: a
// request that timed out while the group's coordinator was away ends the process once that is back
// (librdkafka issue 4605). Rules: (1) one question at a time, in order; (2) answers are given by
// this thread, or by the one that closes; (3) Close returns when nothing touches the client any more.
#pragma once

#include <rdkafka.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kafka/group-mail.h"

namespace mq::kafka {

using CommittedDone =
    std::function<void(int code, std::string error, std::vector<GroupOffset> offsets)>;

class CommittedAsker {
 public:
  /// The client is borrowed, and must live until Close returned.
  explicit CommittedAsker(rd_kafka_t* rk) : rk_(rk) {}
  ~CommittedAsker() { Close(); }

  /// Offsets and metadata of all the places, in their order; -1001 where nothing was committed.
  /// Answered after ten seconds at the latest, the time behind other questions included.
  void Ask(std::vector<Place> places, CommittedDone done);
  /// What waits fails. Takes as long as one call of the library at most, three seconds.
  void Close();

 private:
  struct Question {
    std::vector<Place> places;
    CommittedDone done;
    int64_t until_ms = 0;
  };

  void Run();
  void Answer(const Question& question);
  bool IsClosed();

  rd_kafka_t* const rk_;
  std::mutex lock_;
  std::condition_variable bell_;
  std::deque<Question> questions_;
  bool closed_ = false;
  std::thread thread_;  // made with the first question
};

}  // namespace mq::kafka

// Brings back a client of librdkafka that has lost all its brokers.
//
// A cluster whose every broker is fenced, as one broker is that was frozen for longer than its
// session, answers with topics and no broker. librdkafka then drops the brokers that it knew, and
// the same answer stops the re-bootstrap which that begins, for good (librdkafka issue 5301, from
// 2.10 on): it has nobody left to ask, and is deaf until it is made anew. So while no broker of a
// client is up, the servers it began with are added again, at growing intervals. librdkafka adds
// none that it still has, and drops those that it does not need with its next metadata.
#pragma once

#include <rdkafka.h>

#include <atomic>
#include <cstdint>
#include <string>

#include "kafka/config.h"

namespace mq::kafka {

class Lifeline {
 public:
  /// `config` are the settings that the client was made with. It outlives this.
  Lifeline(rd_kafka_t* rk, const Config& config);

  /// It is said, or seems, that no broker can be reached. Any thread.
  void Doubt() { in_doubt_.store(true, std::memory_order_relaxed); }
  /// While this is so, Look is to be called about once a second.
  bool in_doubt() const { return in_doubt_.load(std::memory_order_relaxed); }
  /// Ends the doubt when a broker is up; else adds the servers when it is time. One thread calls
  /// it, and never waits.
  void Look();

 private:
  rd_kafka_t* const rk_;
  const std::string servers_;
  std::atomic<bool> in_doubt_{false};
  int64_t look_ms_ = 0;
  int64_t add_ms_ = 0;
  int64_t pause_ms_ = 0;
};

}  // namespace mq::kafka

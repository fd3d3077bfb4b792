// A librdkafka producer with a window of messages, driven by one thread: it fills the window,
// takes delivery reports, and fills again.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "direct/options.h"
#include "load/message-maker.h"
#include "load/totals.h"
#include "rdkafka.h"

namespace mq::direct {

class Producer {
 public:
  Producer(const Options& options, loadgen::Totals* totals);
  ~Producer();

  // Connects and asks for the topic's partitions. False with a line in `error`.
  bool Open(std::string* error);
  int outstanding() const { return outstanding_; }
  int room() const { return options_.in_flight - outstanding_; }

  // Hands one message over that was meant to be sent at `intended` (ns). False when librdkafka's
  // queue is full: take reports first. What it refuses for another reason counts as failed.
  bool Produce(uint64_t intended);

  // Takes the reports that are there, or that come within `wait_ms`.
  void TakeReports(int wait_ms);

 private:
  struct Sender {  // stands for a connection of mq_load
    loadgen::MessageMaker maker;
    uint64_t sequence;
  };
  rd_kafka_headers_t* HeadersOf(const Sender& sender, size_t index) const;

  const Options& options_;
  loadgen::Totals* totals_;
  std::vector<Sender> senders_;
  size_t turn_ = 0;
  int outstanding_ = 0;
  uint32_t partitions_ = 0;
  rd_kafka_t* rk_ = nullptr;
  rd_kafka_topic_t* topic_ = nullptr;
  rd_kafka_queue_t* queue_ = nullptr;
  std::vector<const rd_kafka_message_t*> reports_;
};

}  // namespace mq::direct

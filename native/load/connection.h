// One MQP connection of the generator: HELLO and OPEN_TOPIC, then a window of produce frames.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "load/link.h"
#include "load/message-maker.h"
#include "load/options.h"
#include "load/totals.h"

namespace mq::loadgen {

class Connection : public Link {
 public:
  Connection(const Options& options, Totals* totals, uint64_t seed);

  // Connects and does HELLO and OPEN_TOPIC, blocking; waits a while for a topic that is not
  // confirmed yet. False with a line in `error`.
  bool Open(std::string* error);
  int outstanding() const { return outstanding_; }
  // How many more messages may be sent at `now` (ns).
  int Room(uint64_t now);

  // Appends `n` messages that were meant to be sent at `intended` (ns) to the send buffer.
  void Append(int n, uint64_t intended);
  // Writes what the socket takes. False when the connection broke.
  bool Flush();
  // Reads answers. False when the connection broke, with a line in `error`.
  bool Read(std::string* error);
  bool unsent() const { return out_at_ < out_.size(); }

  bool watching_write = true;  // what epoll was told

 private:
  bool OpenTopic(std::string* error);
  void BuildMessage();
  uint8_t* AppendMessage();
  void AppendSingle();
  void AppendBatch(int n);
  void SkipToFree(int n);
  bool OnFrame(const uint8_t* frame, size_t length, std::string* error);
  bool Settle(uint32_t first, uint32_t count, bool good);
  void Refused(uint32_t count, int code, uint64_t detail);

  uint64_t& SlotOf(uint32_t correlation) {
    return sent_at_[correlation & (sent_at_.size() - 1)];
  }

  const Options& options_;
  Totals* totals_;
  MessageMaker maker_;
  int outstanding_ = 0;
  uint16_t topic_ = 0;
  uint64_t sequence_ = 1;
  uint32_t correlation_ = 1;
  uint64_t intended_ = 0;        // when the messages at hand were to leave
  uint64_t now_ = 0;             // when the answers at hand were read
  uint64_t resume_at_ = 0;       // after RETRY_LATER: ns
  uint64_t expected_ = 0;        // after OUT_OF_SEQUENCE: go on here once all is answered
  std::vector<uint8_t> message_;  // a PRODUCE frame, or a record of PRODUCE_BATCH
  size_t key_at_ = 0;             // in it
  std::vector<uint8_t> out_;
  size_t out_at_ = 0;
  std::vector<uint8_t> in_;
  size_t in_end_ = 0;
  // When each unanswered message was meant to leave, 0 = none; by correlation id, a power of two.
  std::vector<uint64_t> sent_at_;
};

}  // namespace mq::loadgen

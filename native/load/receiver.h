// One consumer of the load: a subscription whose messages are acked one by one, in random order
// within a window, and whose deliveries are verified.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "load/link.h"
#include "load/message-maker.h"
#include "load/totals.h"

namespace mq::loadgen {

struct ReceiveOptions {
  std::string host = "127.0.0.1";
  int port = 7650;
  std::string topic = "bench";
  std::string group = "bench";
  std::string mode = "shared";
  int connections = 16;
  int window = 200;         // unacked messages among which the next one is drawn
  int credit = 1000;        // messages of one connection that may be out
  int lease = 60000;        // ms
  bool committed = false;   // what an ack waits for
  int count = 0;            // stop after so many messages; 0 = by time
  double duration = 20;
  double warmup = 1;
  double drain = 30;
  bool stamped = false;     // values begin with the time of their sending: latency is measured
};

// Which offsets of the topic came, over all connections.
struct Seen {
  std::map<uint32_t, std::vector<bool>> partitions;
  uint64_t received = 0, again = 0, redelivered = 0, without_id = 0;

  void Note(uint32_t partition, uint64_t offset, uint16_t attempt, bool has_id) {
    std::vector<bool>& seen = partitions[partition];
    if (offset >= seen.size()) seen.resize((offset + 1) * 2);
    if (seen[offset]) again++;
    seen[offset] = true;
    if (attempt > 1) redelivered++;
    if (!has_id) without_id++;
    received++;
  }
};

class Receiver : public Link {
 public:
  Receiver(const ReceiveOptions& options, Totals* totals, Seen* seen, uint64_t seed)
      : options_(options), totals_(totals), seen_(seen), random_(seed * 0x9e3779b97f4a7c15ull + 1) {
    in_.resize(256 * 1024);
  }

  bool Open(std::string* error) {
    if (!Dial(options_.host, options_.port, error) || !Greet("mq_load", error)) return false;
    std::vector<uint8_t> ask, body, answer;
    PutSubscribe(&body);
    PutHeader(&ask, body.size(), kSubscribe, 0, 0, 1);
    ask.insert(ask.end(), body.begin(), body.end());
    if (!Write(ask, error) || !ReadAnswer(&answer, error)) return false;
    // ASSIGNED may come before the answer.
    while (answer[4] == kAssigned || answer[4] == kDeliver) {
      if (answer[4] == kDeliver && !OnDeliver(answer.data(), answer.size(), error)) return false;
      if (!ReadAnswer(&answer, error)) return false;
    }
    Refusal refusal;
    if (ReadRefusal(answer.data(), answer.size(), &refusal)) {
      *error = refusal.text;
      return false;
    }
    StopBlocking();
    return true;
  }

  // Messages that are here, and acks without an answer.
  size_t held() const { return held_.size(); }
  size_t unanswered() const { return unanswered_; }
  uint64_t received() const { return received_; }
  bool unsent() const { return out_at_ < out_.size(); }
  bool watching_write = true;

  // Acks in random order until `keep` are left.
  void AckDownTo(size_t keep) {
    while (held_.size() > keep) {
      const size_t most = held_.size() - keep < kAcksMax ? held_.size() - keep : kAcksMax;
      chosen_.clear();
      for (size_t i = 0; i < most; i++) {
        const size_t at = Next() % held_.size();
        chosen_.push_back(held_[at]);
        held_[at] = held_.back();
        held_.pop_back();
      }
      AppendAck();
    }
  }

  bool Flush() {
    while (out_at_ < out_.size()) {
      const ssize_t wrote = send(fd_, &out_[out_at_], out_.size() - out_at_, MSG_NOSIGNAL);
      if (wrote < 0) return WouldBlock();
      out_at_ += static_cast<size_t>(wrote);
    }
    out_.clear();
    out_at_ = 0;
    return true;
  }

  bool Read(std::string* error) {
    for (;;) {
      const size_t room = in_.size() - in_end_;
      const ssize_t got = read(fd_, &in_[in_end_], room);
      if (got == 0) {
        *error = "the node closed a connection";
        return false;
      }
      if (got < 0) {
        if (WouldBlock()) return true;
        *error = Reason("read");
        return false;
      }
      now_ = NowNanos();
      in_end_ += static_cast<size_t>(got);
      const auto take = [&](const uint8_t* frame, size_t length) {
        return OnFrame(frame, length, error);
      };
      if (!TakeFrames(&in_, &in_end_, error, take)) return false;
      if (static_cast<size_t>(got) < room) return true;
    }
  }

 private:
  static constexpr uint8_t kSubscribe = 0x31, kDeliver = 0x33, kAck = 0x34, kAssigned = 0x39;
  static constexpr uint8_t kAcked = 0xb4, kCommitted = 0x01, kHasId = 0x40;
  static constexpr size_t kTokenBytes = 48, kAcksMax = 4096;

  // A delivered run, while messages of it are unacked.
  struct Run {
    uint8_t token[kTokenBytes];
    uint32_t left = 0;
  };
  struct Held {
    uint32_t run;
    uint16_t index;
  };

  static void PutWord(std::vector<uint8_t>* out, const std::string& text) {
    out->push_back(0xd9);
    out->push_back(static_cast<uint8_t>(text.size()));
    PutText(out, text);
  }
  static void PutNumber(std::vector<uint8_t>* out, const char* name, uint32_t value) {
    PutWord(out, name);
    out->push_back(0xce);
    Put32(out, value);
  }

  void PutSubscribe(std::vector<uint8_t>* out) const {
    out->push_back(0x86);
    PutWord(out, "group");
    PutWord(out, options_.group);
    PutWord(out, "topics");
    out->push_back(0x91);
    PutWord(out, options_.topic);
    PutWord(out, "mode");
    PutWord(out, options_.mode);
    PutNumber(out, "creditMessages", static_cast<uint32_t>(options_.credit));
    PutNumber(out, "creditBytes", 32u << 20);
    PutNumber(out, "leaseMs", static_cast<uint32_t>(options_.lease));
  }

  bool OnFrame(const uint8_t* frame, size_t length, std::string* error) {
    if (frame[4] == kDeliver) return OnDeliver(frame, length, error);
    if (frame[4] == kAcked) return OnAcked(frame, length, error);
    if (frame[4] == kAssigned || frame[4] == kGoaway) return true;
    Refusal refusal;
    *error = ReadRefusal(frame, length, &refusal) ? refusal.text
                                                  : "a frame of opcode " + std::to_string(frame[4]);
    return false;
  }

  bool OnDeliver(const uint8_t* frame, size_t length, std::string* error) {
    *error = "a DELIVER that ends too early";
    size_t at = wire::kFrameHead + 4;
    while (at < length) {
      if (length - at < 2) return false;
      const size_t topic = load_be16(frame + at);
      if (length - at < 2 + topic + 5 + kTokenBytes + 14) return false;
      at += 2 + topic + 1;
      const uint32_t partition = load_be32(frame + at);
      const uint8_t* token = frame + at + 4;
      at += 4 + kTokenBytes;
      const uint64_t first = load_be64(frame + at);
      const size_t count = load_be16(frame + at + 8);
      const size_t bytes = load_be32(frame + at + 10);
      at += 14;
      if (count == 0 || length - at < 2 * count + bytes) return false;
      if (!TakeRun(frame + at, count, bytes, first, partition, token)) return false;
      at += 2 * count + bytes;
    }
    return true;
  }

  bool TakeRun(const uint8_t* attempts, size_t count, size_t bytes, uint64_t first,
               uint32_t partition, const uint8_t* token) {
    const uint32_t run = NewRun(token, static_cast<uint32_t>(count));
    const uint8_t* records = attempts + 2 * count;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
      if (bytes - at < 21) return false;
      const size_t length = load_be32(records + at);
      if (length < 17 || length > bytes - at - 4) return false;
      const uint64_t offset = load_be64(records + at + 4);
      if (offset < first || offset - first > 65535) return false;
      const bool has_id = (records[at + 20] & kHasId) != 0;
      seen_->Note(partition, offset, load_be16(attempts + 2 * i), has_id);
      held_.push_back({run, static_cast<uint16_t>(offset - first)});
      received_++;
      totals_->Answered(options_.stamped ? StampOf(records + at, length + 4) : now_, now_);
      at += 4 + length;
    }
    return at == bytes;
  }

  // When the message was meant to leave: the first eight bytes of its value.
  static uint64_t StampOf(const uint8_t* record, size_t length) {
    const uint8_t flags = record[20];
    size_t at = 21 + ((flags & kHasId) != 0 ? 16 : 0);
    for (const uint8_t part : {uint8_t{0x01}, uint8_t{0x02}}) {
      if ((flags & part) != 0 && at + 4 <= length) at += 4 + load_be32(record + at);
    }
    return at + 8 <= length ? load_be64(record + at) : 0;
  }

  uint32_t NewRun(const uint8_t* token, uint32_t count) {
    uint32_t run = static_cast<uint32_t>(runs_.size());
    if (free_.empty()) {
      runs_.emplace_back();
    } else {
      run = free_.back();
      free_.pop_back();
    }
    std::memcpy(runs_[run].token, token, kTokenBytes);
    runs_[run].left = count;
    return run;
  }

  // The chosen ones in one frame, an entry for each token.
  void AppendAck() {
    std::sort(chosen_.begin(), chosen_.end(), [](Held a, Held b) { return a.run < b.run; });
    const size_t head = out_.size();
    PutHeader(&out_, 0, kAck, options_.committed ? kCommitted : 0, 0, ++correlation_);
    for (size_t i = 0; i < chosen_.size();) {
      const uint32_t run = chosen_[i].run;
      size_t end = i;
      while (end < chosen_.size() && chosen_[end].run == run) end++;
      out_.insert(out_.end(), runs_[run].token, runs_[run].token + kTokenBytes);
      Put16(&out_, static_cast<uint16_t>(end - i));
      for (; i < end; i++) {
        Put16(&out_, chosen_[i].index);
        if (--runs_[run].left == 0) free_.push_back(run);
      }
    }
    store_be32(&out_[head], static_cast<uint32_t>(out_.size() - head - 4));
    totals_->sent += chosen_.size();
    unanswered_++;
  }

  bool OnAcked(const uint8_t* frame, size_t length, std::string* error) {
    unanswered_--;
    Refusal refusal;
    if (ReadRefusal(frame, length, &refusal)) {
      *error = "ACK: " + refusal.text;
      return false;
    }
    *error = "an ACKED that ends too early";
    if (length < wire::kFrameHead + 2) return false;
    const size_t failed = load_be16(frame + wire::kFrameHead);
    if (length < wire::kFrameHead + 2 + 6 * failed) return false;
    for (size_t i = 0; i < failed; i++) {
      totals_->failed[load_be16(frame + wire::kFrameHead + 2 + 6 * i + 4)]++;
    }
    return true;
  }

  uint64_t Next() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
  }

  const ReceiveOptions& options_;
  Totals* totals_;
  Seen* seen_;
  uint64_t random_;
  uint64_t now_ = 0;
  uint64_t received_ = 0;
  uint32_t correlation_ = 1;
  size_t unanswered_ = 0;
  std::vector<Run> runs_;
  std::vector<uint32_t> free_;
  std::vector<Held> held_, chosen_;
  std::vector<uint8_t> in_, out_;
  size_t in_end_ = 0, out_at_ = 0;
};

}  // namespace mq::loadgen

#include "load/connection.h"

#include <cstring>
#include <sys/socket.h>
#include <unistd.h>

#include "load/frame.h"

namespace mq::loadgen {
namespace {

constexpr size_t kReadBytes = 16 * 1024;
constexpr uint64_t kOpenNanos = 30ull * 1000 * 1000 * 1000;
constexpr size_t kSequenceBytes = 6;
// Ids that can be passed over while an old one waits for its answer.
constexpr size_t kSlotsPerMessage = 8;

size_t PowerOfTwo(size_t least) {
  size_t size = 1;
  while (size < least) size *= 2;
  return size;
}

}  // namespace

Connection::Connection(const Options& options, Totals* totals, uint64_t seed)
    : options_(options), totals_(totals), maker_(options.size, options.keys, seed) {
  sent_at_.resize(PowerOfTwo(static_cast<size_t>(options.in_flight) * kSlotsPerMessage));
  in_.resize(kReadBytes);
}

// The delay and the key, if any, stand at the same place of every message.
void Connection::BuildMessage() {
  std::vector<uint8_t> body;
  if (options_.delay > 0) {
    body.push_back(kAfter);
    Put64(&body, static_cast<uint64_t>(options_.delay));
  }
  const size_t key_in_body = body.size() + 2;
  if (maker_.keyed()) {
    Put16(&body, MessageMaker::kKeyBytes);
    body.resize(body.size() + MessageMaker::kKeyBytes);
  }
  body.insert(body.end(), maker_.value().begin(), maker_.value().end());
  const uint8_t due_flag = options_.delay > 0 ? wire::kDue : 0;
  const uint8_t own_flags = (maker_.keyed() ? wire::kKey : 0) | due_flag;
  const uint8_t level = options_.replicated ? wire::kReplicated : 0;
  if (options_.batch == 1) {
    PutHeader(&message_, kSequenceBytes + body.size(), wire::kProduce, own_flags | level, topic_, 0);
    message_.resize(message_.size() + kSequenceBytes);
  } else {
    Put32(&message_, static_cast<uint32_t>(1 + body.size()));
    message_.push_back(own_flags);
  }
  key_at_ = message_.size() + key_in_body;
  message_.insert(message_.end(), body.begin(), body.end());
}

bool Connection::Open(std::string* error) {
  if (!Dial(options_.host, options_.port, error) || !Greet("mq_load", error)) return false;
  if (!OpenTopic(error)) return false;
  StopBlocking();
  return true;
}

bool Connection::OpenTopic(std::string* error) {
  std::vector<uint8_t> open;
  PutHeader(&open, options_.topic.size(), kOpenTopic, 0, 0, 0);
  PutText(&open, options_.topic);
  for (const uint64_t limit = NowNanos() + kOpenNanos;;) {
    std::vector<uint8_t> answer;
    if (!Write(open, error) || !ReadAnswer(&answer, error)) return false;
    Refusal refusal;
    if (!ReadRefusal(answer.data(), answer.size(), &refusal)) {
      topic_ = load_be16(&answer[6]);
      BuildMessage();
      return true;
    }
    *error = "topic " + options_.topic + ": " + refusal.text;
    if (refusal.code != kTopicUnconfirmed || NowNanos() > limit) return false;
    usleep(100 * 1000);
  }
}

int Connection::Room(uint64_t now) {
  if (expected_ != 0) {
    if (outstanding_ > 0) return 0;
    sequence_ = expected_;
    expected_ = 0;
  }
  return now < resume_at_ ? 0 : options_.in_flight - outstanding_;
}

uint8_t* Connection::AppendMessage() {
  const size_t at = out_.size();
  out_.insert(out_.end(), message_.begin(), message_.end());
  if (maker_.keyed()) maker_.PutKey(&out_[at + key_at_]);
  if (options_.stamp) store_be64(&out_[out_.size() - maker_.value().size()], intended_);
  return &out_[at];
}

void Connection::Append(int n, uint64_t intended) {
  intended_ = intended;
  while (n > 0) {
    const int batch = options_.batch < n ? options_.batch : n;
    SkipToFree(batch);
    if (options_.batch == 1) AppendSingle();
    else AppendBatch(batch);
    for (int i = 0; i < batch; i++) SlotOf(correlation_++) = intended;
    sequence_ += static_cast<uint64_t>(batch);
    outstanding_ += batch;
    totals_->sent += static_cast<uint64_t>(batch);
    n -= batch;
  }
}

// Answers may overtake each other: an id whose slot still waits for its answer is left out.
void Connection::SkipToFree(int n) {
  for (int i = 0; i < n;) {
    if (SlotOf(correlation_ + static_cast<uint32_t>(i)) == 0) {
      i++;
    } else {
      correlation_ += static_cast<uint32_t>(i + 1);
      i = 0;
    }
  }
}

void Connection::AppendSingle() {
  uint8_t* frame = AppendMessage();
  store_be32(frame + 8, correlation_);
  store_be48(frame + wire::kFrameHead, sequence_);
}

void Connection::AppendBatch(int n) {
  const size_t body = kSequenceBytes + 2 + static_cast<size_t>(n) * message_.size();
  PutHeader(&out_, body, wire::kProduceBatch, options_.replicated ? wire::kReplicated : 0, topic_,
            correlation_);
  Put48(&out_, sequence_);
  Put16(&out_, static_cast<uint16_t>(n));
  for (int i = 0; i < n; i++) AppendMessage();
}

bool Connection::Flush() {
  while (out_at_ < out_.size()) {
    const ssize_t wrote = send(fd_, &out_[out_at_], out_.size() - out_at_, MSG_NOSIGNAL);
    if (wrote < 0) return WouldBlock();
    out_at_ += static_cast<size_t>(wrote);
  }
  out_.clear();
  out_at_ = 0;
  return true;
}

bool Connection::Read(std::string* error) {
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

bool Connection::OnFrame(const uint8_t* frame, size_t length, std::string* error) {
  if (frame[4] == kGoaway) return true;  // what is in flight is still answered
  Refusal refusal;
  if (frame[4] == kError && ReadRefusal(frame, length, &refusal)) {
    *error = refusal.text;
    return false;
  }
  if (frame[4] != kProduced) {
    *error = "an answer of opcode " + std::to_string(frame[4]);
    return false;
  }
  const uint8_t form = frame[5];
  const size_t entry = form == kPlain ? 8 : form == kPlaced ? 24 : 16;
  for (size_t at = wire::kFrameHead; at + entry <= length; at += entry) {
    const uint32_t count = load_be16(frame + at + 4);
    const bool good = form == kPlain || form == kPlaced || form == kScheduled;
    if (!Settle(load_be32(frame + at), count, good)) {
      *error = "an answer to a message that was not sent, or was answered before";
      return false;
    }
    if (!good) Refused(count, load_be16(frame + at + 6), load_be64(frame + at + 8));
  }
  return true;
}

bool Connection::Settle(uint32_t first, uint32_t count, bool good) {
  for (uint32_t i = 0; i < count; i++) {
    uint64_t& sent = SlotOf(first + i);
    if (sent == 0) return false;
    if (good) totals_->Answered(sent, now_);
    sent = 0;
  }
  outstanding_ -= static_cast<int>(count);
  return true;
}

// A refused message is a failure of the run and is not sent again; but the session goes on, with
// the sequence that the node wants and not before it wants it.
void Connection::Refused(uint32_t count, int code, uint64_t detail) {
  totals_->failed[code] += count;
  if (code == kOutOfSequence && expected_ == 0) expected_ = detail;
  if (code == kRetryLater || code == kTopicUnconfirmed || code == kBackendUnavailable) {
    resume_at_ = now_ + detail * 1000000;
  }
}

}  // namespace mq::loadgen

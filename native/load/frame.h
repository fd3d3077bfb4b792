// What of the protocol the generator writes and reads besides core/wire.h.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/wire.h"

namespace mq::loadgen {

inline constexpr uint8_t kError = 0x80, kHello = 0x01, kGoaway = 0x03, kOpenTopic = 0x10;
inline constexpr uint8_t kProduced = 0xa0, kFailed = 0x80;
// Forms of PRODUCED; the one that is not here is REFUSED.
inline constexpr uint8_t kPlain = 0, kPlaced = 1, kScheduled = 3;
inline constexpr uint8_t kAfter = 0;  // DueKind DELAY
inline constexpr int kTopicUnconfirmed = 22, kOutOfSequence = 31, kRetryLater = 33,
                     kBackendUnavailable = 41;

inline void Put16(std::vector<uint8_t>* out, uint16_t v) {
  out->push_back(static_cast<uint8_t>(v >> 8));
  out->push_back(static_cast<uint8_t>(v));
}
inline void Put32(std::vector<uint8_t>* out, uint32_t v) {
  Put16(out, static_cast<uint16_t>(v >> 16));
  Put16(out, static_cast<uint16_t>(v));
}
inline void Put64(std::vector<uint8_t>* out, uint64_t v) {
  Put32(out, static_cast<uint32_t>(v >> 32));
  Put32(out, static_cast<uint32_t>(v));
}
inline void Put48(std::vector<uint8_t>* out, uint64_t v) {
  Put16(out, static_cast<uint16_t>(v >> 32));
  Put32(out, static_cast<uint32_t>(v));
}
inline void PutText(std::vector<uint8_t>* out, const std::string& text) {
  out->insert(out->end(), text.begin(), text.end());
}
inline void PutHeader(std::vector<uint8_t>* out, size_t body, uint8_t opcode, uint8_t flags,
                      uint16_t topic, uint32_t correlation) {
  Put32(out, static_cast<uint32_t>(wire::kCountedHead + body));
  out->push_back(opcode);
  out->push_back(flags);
  Put16(out, topic);
  Put32(out, correlation);
}

/// Longest frame that is believed.
inline constexpr uint32_t kFrameBytesMax = 8u << 20;

/// Hands the whole frames at the front of `in` to `on_frame(frame, length)` and moves what is left
/// to the front; `in` grows to the length of a frame that has begun. False, with a reason, when
/// what came is not MQP, or when `on_frame` says so.
template <typename OnFrame>
bool TakeFrames(std::vector<uint8_t>* in, size_t* end, std::string* error, OnFrame on_frame) {
  size_t at = 0;
  while (*end - at >= wire::kFrameHead) {
    const size_t length = load_be32(&(*in)[at]) + size_t{4};
    if (length < wire::kFrameHead || length > kFrameBytesMax) {
      *error = "the answer is not MQP";
      return false;
    }
    if (length > *end - at) {
      if (length > in->size()) in->resize(length);
      break;
    }
    if (!on_frame(&(*in)[at], length)) return false;
    at += length;
  }
  if (at > 0) std::memmove(in->data(), &(*in)[at], *end - at);
  *end -= at;
  return true;
}

// Of an answer with the flag FAILED, or of ERROR: code:u16 retryAfterMs:u32 length:u16 text.
struct Refusal {
  int code = 0;
  uint32_t retry_after_ms = 0;
  std::string text;
};

// False when the frame is a good answer.
inline bool ReadRefusal(const uint8_t* frame, size_t length, Refusal* refusal) {
  if ((frame[5] & kFailed) == 0 && frame[4] != kError) return false;
  const size_t at = wire::kFrameHead;
  refusal->text = "refused without a reason";
  if (length < at + 8) return true;
  refusal->code = load_be16(frame + at);
  refusal->retry_after_ms = load_be32(frame + at + 2);
  refusal->text = std::string(frame + at + 8, frame + length);
  refusal->text += " (code " + std::to_string(refusal->code) + ")";
  return true;
}

}  // namespace mq::loadgen

#include "core/utf8.h"

namespace mq {
namespace {

bool is_tail(uint8_t byte) { return (byte & 0xc0) == 0x80; }

/// The length of the sequence that begins at `p`, or 0 when it is not well-formed.
size_t sequence_length(const uint8_t* p, size_t left) {
  const uint8_t first = p[0];
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return left >= 2 && is_tail(p[1]) ? 2 : 0;
  if (first < 0xf0) {
    if (left < 3 || !is_tail(p[1]) || !is_tail(p[2])) return 0;
    if (first == 0xe0 && p[1] < 0xa0) return 0;
    if (first == 0xed && p[1] > 0x9f) return 0;
    return 3;
  }
  if (first > 0xf4 || left < 4 || !is_tail(p[1]) || !is_tail(p[2]) || !is_tail(p[3])) return 0;
  if (first == 0xf0 && p[1] < 0x90) return 0;
  if (first == 0xf4 && p[1] > 0x8f) return 0;
  return 4;
}

}  // namespace

bool is_utf8(const uint8_t* text, size_t length) {
  for (size_t i = 0; i < length;) {
    const size_t step = sequence_length(text + i, length - i);
    if (step == 0) return false;
    i += step;
  }
  return true;
}

}  // namespace mq

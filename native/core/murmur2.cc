#include "core/murmur2.h"

#include "core/bytes.h"

namespace mq {

uint32_t murmur2(const uint8_t* key, size_t length) {
  constexpr uint32_t kSeed = 0x9747b28c;
  constexpr uint32_t kM = 0x5bd1e995;
  constexpr int kR = 24;
  uint32_t h = kSeed ^ static_cast<uint32_t>(length);
  const uint8_t* p = key;
  for (size_t left = length; left >= 4; left -= 4, p += 4) {
    uint32_t k = load_le32(p);
    k *= kM;
    k ^= k >> kR;
    k *= kM;
    h *= kM;
    h ^= k;
  }
  switch (length & 3) {
    case 3:
      h ^= static_cast<uint32_t>(p[2]) << 16;
      [[fallthrough]];
    case 2:
      h ^= static_cast<uint32_t>(p[1]) << 8;
      [[fallthrough]];
    case 1:
      h ^= p[0];
      h *= kM;
      break;
    default:
      break;
  }
  h ^= h >> 13;
  h *= kM;
  h ^= h >> 15;
  return h;
}

}  // namespace mq

// SHA-256 (FIPS 180-4), for the names of delayed messages: a few per batch, so it is plain.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mq {

class Sha256 {
 public:
  void update(const uint8_t* bytes, size_t length);
  /// Writes 32 bytes; the object is of no more use.
  void finish(uint8_t* out);

 private:
  void block(const uint8_t* bytes);

  uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint8_t rest_[64] = {};
  size_t filled_ = 0;
  uint64_t length_ = 0;
};

}  // namespace mq

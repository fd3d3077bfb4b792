// Keys and values of the load, the same for every generator: values half random, keys evenly drawn
// from a fixed number of eight-byte texts.
#pragma once
#include <cstdint>
#include <time.h>
#include <vector>

namespace mq::loadgen {

inline uint64_t NowNanos() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return static_cast<uint64_t>(ts.tv_sec) * 1000000000ull + static_cast<uint64_t>(ts.tv_nsec);
}

class MessageMaker {
 public:
  static constexpr int kKeyBytes = 8;

  MessageMaker(int size, int keys, uint64_t seed)
      : random_(seed * 0x9e3779b97f4a7c15ull + 1), keys_(keys) {
    value_.reserve(static_cast<size_t>(size));
    // Half of a value is random and half constant, as a compressor would find it.
    for (int i = 0; i < size; i++) {
      value_.push_back(i % 2 == 0 ? static_cast<uint8_t>(Next()) : 'v');
    }
  }

  const std::vector<uint8_t>& value() const { return value_; }
  bool keyed() const { return keys_ > 0; }

  // Writes the next key, `k0001234`: kKeyBytes bytes.
  void PutKey(uint8_t* to) {
    uint32_t key = static_cast<uint32_t>((Next() >> 16) % static_cast<uint64_t>(keys_));
    to[0] = 'k';
    for (int i = kKeyBytes - 1; i > 0; i--, key /= 10) {
      to[i] = static_cast<uint8_t>('0' + key % 10);
    }
  }

 private:
  uint64_t Next() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
  }

  uint64_t random_;
  int keys_;
  std::vector<uint8_t> value_;
};

}  // namespace mq::loadgen

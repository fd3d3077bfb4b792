// How many bytes of a partition's records may be handed up, and how many records to ask for at a
// time, so that little is taken that must wait.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace mq {

class FetchCredit {
 public:
  void want(int64_t bytes) { left_ += bytes; }
  void reset() { left_ = 0; }

  bool open() const { return left_ > 0; }
  int64_t left() const { return left_; }

  /// Records to take for what is left, by the mean length of those seen; 1 to `max`.
  size_t records(size_t max) const {
    const int64_t count = left_ / std::max<int64_t>(1, mean_) + 1;
    return static_cast<size_t>(std::clamp<int64_t>(count, 1, static_cast<int64_t>(max)));
  }

  /// A batch of `count` records went up. The last may have gone beyond what was left.
  void spend(size_t bytes, size_t count) {
    left_ -= static_cast<int64_t>(bytes);
    if (count == 0) return;
    const int64_t mean = static_cast<int64_t>(bytes / count);
    mean_ = mean_ == 0 ? mean : (3 * mean_ + mean) / 4;
  }

 private:
  int64_t left_ = 0;
  int64_t mean_ = 0;
};

}  // namespace mq

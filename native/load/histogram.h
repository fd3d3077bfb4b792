// A histogram of latencies in log-linear buckets: 64 steps per power of two, so a percentile is
// within 1.6 % of the truth, and recording is a shift and an increment.
#pragma once
#include <cstdint>
#include <vector>

namespace mq::loadgen {

class Histogram {
 public:
  Histogram() : counts_(kBuckets, 0) {}

  void Record(uint64_t nanos) {
    const uint64_t us10 = nanos / 100;  // tenths of a microsecond
    counts_[IndexOf(us10)]++;
    total_++;
    if (nanos > max_) max_ = nanos;
  }

  // The value below which `share` of the recorded ones lie, in ms.
  double PercentileMs(double share) const {
    if (total_ == 0) return 0;
    uint64_t wanted = static_cast<uint64_t>(share * static_cast<double>(total_));
    if (wanted >= total_) wanted = total_ - 1;
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); i++) {
      seen += counts_[i];
      if (seen > wanted) return static_cast<double>(ValueOf(i)) / 10000.0;
    }
    return MaxMs();
  }

  double MaxMs() const { return static_cast<double>(max_) / 1e6; }
  uint64_t total() const { return total_; }

 private:
  static constexpr int kSteps = 64;
  static constexpr size_t kBuckets = 64 * kSteps;

  static size_t IndexOf(uint64_t value) {
    if (value < kSteps) return value;
    const int shift = 63 - __builtin_clzll(value) - 6;
    return static_cast<size_t>(shift + 1) * kSteps + ((value >> shift) - kSteps);
  }
  static uint64_t ValueOf(size_t index) {
    if (index < kSteps) return index;
    const int shift = static_cast<int>(index / kSteps) - 1;
    return (static_cast<uint64_t>(kSteps) + index % kSteps) << shift;
  }

  std::vector<uint64_t> counts_;
  uint64_t total_ = 0;
  uint64_t max_ = 0;
};

}  // namespace mq::loadgen

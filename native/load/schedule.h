// The open loop's plan: message i is meant to leave at begin + i / rate, whatever the other side
// does meanwhile.
#pragma once
#include <cstdint>

namespace mq::loadgen {

class Schedule {
 public:
  // `rate` in messages a second; 0 is the closed loop, which has no plan.
  Schedule(double rate, uint64_t begin) : rate_(rate), begin_(begin) {}

  bool Due(uint64_t now) const { return Intended() <= now; }
  // When the next message is meant to leave, in ns.
  uint64_t Intended() const {
    return begin_ + static_cast<uint64_t>(static_cast<double>(taken_) / rate_ * 1e9);
  }
  void Take() { taken_++; }

  // How long to sleep until the next one; at least `least`, so that a high rate does not spin.
  uint64_t Pause(uint64_t now, uint64_t least) const {
    const uint64_t intended = Intended();
    return intended > now + least ? intended - now : least;
  }

 private:
  double rate_;
  uint64_t begin_;
  uint64_t taken_ = 0;
};

}  // namespace mq::loadgen

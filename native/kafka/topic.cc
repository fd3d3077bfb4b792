#include "kafka/topic.h"

#include <algorithm>

namespace mq::kafka {

Topic::~Topic() {
  for (auto& block : blocks_) delete block.load();
}

PartitionSlot& Topic::Slot(int32_t partition) {
  const auto index = static_cast<size_t>(partition) & 0xffff;
  std::atomic<Block*>& place = blocks_[index / kBlock];
  Block* block = place.load(std::memory_order_acquire);
  if (block == nullptr) {
    auto* fresh = new Block();
    if (place.compare_exchange_strong(block, fresh)) {
      block = fresh;
    } else {
      delete fresh;
    }
  }
  return (*block)[index % kBlock];
}

void Topic::NoteFilled(int32_t partition, PartitionSlot* slot, int64_t now_ms) {
  slot->Moved(now_ms);
  int32_t used = slots_used_.load(std::memory_order_relaxed);
  while (partition >= used && !slots_used_.compare_exchange_weak(used, partition + 1)) {
  }
}

int64_t Topic::WaitingMs(int64_t now_ms) const {
  int64_t longest = 0;
  const auto used = static_cast<size_t>(slots_used_.load(std::memory_order_relaxed));
  for (size_t i = 0; i < used && i < kBlock * blocks_.size(); i++) {
    const Block* block = blocks_[i / kBlock].load(std::memory_order_acquire);
    if (block == nullptr) continue;
    const PartitionSlot& slot = (*block)[i % kBlock];
    if (slot.bytes.load(std::memory_order_relaxed) <= 0) continue;
    longest = std::max(longest, now_ms - slot.moved_ms.load(std::memory_order_relaxed));
  }
  return longest;
}

void Topic::AddWaiter(uint8_t lane) { waiters_[lane / 64].fetch_or(uint64_t{1} << (lane % 64)); }

}  // namespace mq::kafka

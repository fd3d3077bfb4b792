// A topic as all lanes and generations of one producer see it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "kafka/system.h"

namespace mq::kafka {

/// What every record costs beyond key, value and its own headers, for the in-flight bounds: the
/// lengths, times and counts of a record of Kafka's (17 bytes at most up to 1 MB) and the `mq` header.
constexpr int64_t kRecordOverhead = 64;

/// A broker that knows nothing of a producer takes any sequence from it as the first. So when the
/// first request to a partition fails and a second one was on its way, the second is taken, and
/// the first is answered "duplicate" when it is tried again: acknowledged, and lost. Hence one
/// message goes alone, until its report shows that the broker has begun to count.
/// The same after a refusal: librdkafka goes on behind a batch that the broker refused, so what was
/// sent together could come out of order when the broker changes its mind in between.
struct PartitionSlot {
  std::atomic<int64_t> bytes{0};
  /// Set by a lane that found it full; whoever drains it to half says so.
  std::atomic<bool> full{false};
  /// The generation that the partition's leader counts, and when it last showed that it does.
  std::atomic<uint32_t> counted_generation{0};
  std::atomic<int64_t> counted_ms{0};
  /// When something was confirmed, or put where nothing was: what is in flight waits since then.
  std::atomic<int64_t> moved_ms{0};

  bool IsCounted(uint32_t generation, int64_t now_ms) const {
    return counted_generation.load(std::memory_order_relaxed) == generation &&
           now_ms - counted_ms.load(std::memory_order_relaxed) < kCountedForMs;
  }
  void Moved(int64_t now_ms) { moved_ms.store(now_ms, std::memory_order_relaxed); }
  void Counted(uint32_t generation, int64_t now_ms) {
    Moved(now_ms);
    counted_generation.store(generation, std::memory_order_relaxed);
    counted_ms.store(now_ms, std::memory_order_relaxed);
  }
  void Refused() { counted_generation.store(0, std::memory_order_relaxed); }
  /// Takes bytes off. True when it was full and `left_max` or less is left: its waiters are to be told.
  bool Release(int64_t released, int64_t left_max) {
    const int64_t left = bytes.fetch_sub(released) - released;
    return left <= left_max && full.load() && full.exchange(false);
  }

 private:
  /// Brokers forget producers that are silent (`producer.id.expiration.ms`, a day by default).
  static constexpr int64_t kCountedForMs = 60'000;
};

class Topic {
 public:
  Topic(uint16_t id, std::string name) : id(id), name(std::move(name)) {}
  ~Topic();
  Topic(const Topic&) = delete;
  Topic& operator=(const Topic&) = delete;

  /// How long the partition that waits longest has seen nothing confirmed, while something of it
  /// is in flight; 0 when nothing is.
  int64_t WaitingMs(int64_t now_ms) const;
  /// Something was put into a slot that was empty.
  void NoteFilled(int32_t partition, PartitionSlot* slot, int64_t now_ms);

  /// The slot of a partition (0..65535); made on first use, never freed before the topic.
  PartitionSlot& Slot(int32_t partition);

  /// A lane that deferred the topic and wants to hear when it is ready.
  void AddWaiter(uint8_t lane);
  /// Calls `tell(lane)` for each waiter and forgets them.
  template <typename Tell>
  void TakeWaiters(Tell tell) {
    for (size_t word = 0; word < waiters_.size(); word++) {
      uint64_t bits = waiters_[word].exchange(0);
      while (bits != 0) {
        const int bit = __builtin_ctzll(bits);
        bits &= bits - 1;
        tell(static_cast<uint8_t>(word * 64 + static_cast<size_t>(bit)));
      }
    }
  }

  const uint16_t id;
  const std::string name;
  std::atomic<int64_t> slot_bytes_max{8 << 20};
  std::atomic<bool> id_header{true};
  /// Last seen; 0 = not known.
  std::atomic<int32_t> partitions{0};
  /// Reports of both kinds over all generations; what was purged counts as neither.
  std::atomic<int64_t> confirmed{0};
  std::atomic<int64_t> failed{0};
  /// When `partitions` was last confirmed by the cluster, in steady milliseconds.
  std::atomic<int64_t> refreshed_ms{0};
  /// When the cluster last said anything of the topic, be it that there is none; 0 = never.
  std::atomic<int64_t> answered_ms{0};
  /// The error that was; 0 without partitions: there is none. Written before `answered_ms`.
  std::atomic<int32_t> answered_code{0};

 private:
  static constexpr size_t kBlock = 256;
  std::atomic<int32_t> slots_used_{0};
  using Block = std::array<PartitionSlot, kBlock>;
  std::array<std::atomic<Block*>, 256> blocks_{};
  std::array<std::atomic<uint64_t>, 4> waiters_{};
};


}  // namespace mq::kafka

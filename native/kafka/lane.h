// A lane's end of a shared producer: what waits to be handed up to its thread.
//
// Rules: (1) everything but the counters is guarded by `lock_`; (2) the sink is called with the
// lock held and only while attached, so after Detach returned it is never touched again; (3) a
// sink is woken once, then not again before Take; (4) a report carries no more than the lane's
// number, so a lane with messages in flight is not attached again: a new holder would take the
// reports of the old one for its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kafka/verdict-log.h"

namespace mq::kafka {

struct LaneEvent {
  enum Kind { kError, kFatal, kLog };
  Kind kind = kError;
  int code = 0;
  std::string text;
};

/// Everything that waited for a lane.
struct LaneMail {
  std::vector<VerdictRun> verdicts;
  std::vector<int32_t> ready;  // topic ids; -1 = the queue has room
  std::vector<LaneEvent> events;

  bool empty() const { return verdicts.empty() && ready.empty() && events.empty(); }
};

class LaneSink {
 public:
  /// Called on native threads; must not block nor call back into the lane.
  virtual void Wake() = 0;

 protected:
  ~LaneSink() = default;
};

class Lane {
 public:
  /// `id` is what its messages carry, given by the core; holders have numbers of their own.
  explicit Lane(uint8_t id) : id_(id) {}
  uint8_t id() const { return id_; }

  /// False when a sink is attached, or reports of the last one's messages are still to come.
  bool Attach(uint8_t holder, LaneSink* sink);
  void Detach();
  bool IsHeldBy(uint8_t holder);

  /// Adds runs of one round of reports and takes what they counted off the counters; wakes the
  /// sink.
  void AddVerdicts(const std::vector<VerdictRun>& runs, int64_t reported, int64_t reported_bytes);
  void AddReady(int32_t topic);
  void AddEvent(const LaneEvent& event);

  /// Swaps the waiting mail into `mail` (which must be empty), verdicts sorted and merged. True
  /// when nothing is in flight beyond it.
  bool Take(LaneMail* mail);

  // Without a verdict yet. A report may be counted before its produce call adds to them, so they
  // can be below zero for a moment.
  std::atomic<int64_t> messages{0};
  std::atomic<int64_t> bytes{0};
  /// Set while the lane waits for room in the producer's queue.
  std::atomic<bool> wants_room{false};

 private:
  void WakeLocked();

  const uint8_t id_;
  std::mutex lock_;
  LaneSink* sink_ = nullptr;
  uint8_t holder_ = 0;  // while attached
  bool woken_ = false;
  LaneMail mail_;
};

}  // namespace mq::kafka

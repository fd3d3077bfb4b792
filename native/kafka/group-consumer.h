// A member of a consumer group.
//
// One thread owns everything: it takes commands from an inbox, serves librdkafka's events, reads
// the partitions' queues against their credit, and fills the mailbox. Rules: (1) it polls the
// consumer's queue only while somebody takes the mail: a process that hangs with mail in its box
// leaves the group by max.poll.interval.ms and is told so when it is back; (2) a rebalance is
// completed at once by assigning nothing, partitions are added with their offset when they are
// started; (3) a commit is refused here unless all its partitions are the member's, and one is
// under way at a time, so that none overtakes another; (4) the thread holds the object, so Close
// and Abandon return at once.
#pragma once

#include <rdkafka.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "kafka/committed-asker.h"
#include "kafka/config.h"
#include "kafka/group-partition.h"
#include "kafka/lifeline.h"

namespace mq::kafka {

struct GroupSettings {
  Config config;
  std::string group;
  std::vector<std::string> topics;
  int64_t revoke_timeout_ms = 10'000;
  size_t batch_bytes_max = 1 << 20;
};

using CommitDone = std::function<void(int code, std::string error)>;

class GroupConsumer : public std::enable_shared_from_this<GroupConsumer> {
 public:
  /// `ring` is called when there is mail, at most once until it was taken.
  static std::shared_ptr<GroupConsumer> Open(GroupSettings settings, std::function<void()> ring,
                                             std::string* error);

  void SetTopics(std::vector<std::string> topics);
  void Start(Place place, uint32_t epoch, int64_t offset);
  void Want(Place place, uint32_t epoch, int64_t bytes);
  /// What the note with that serial said to be revoked may go.
  void Revoked(int serial);
  /// With `foreign` also of partitions that are not the member's: in place of a group that has no
  /// members, by an object that never joins.
  void Commit(std::vector<GroupOffset> offsets, bool foreign, CommitDone done);
  /// `done` is called by a thread of its own.
  void Committed(std::vector<Place> places, CommittedDone done);
  /// Gives everything back as a rebalance would, leaves the group; then `done`.
  void Close(std::function<void()> done);
  /// Leaves without asking anybody.
  void Abandon();
  /// What there is to hand up. Any thread.
  void TakeMail(std::vector<GroupNote>* notes);

 private:
  using Command = std::function<void()>;
  struct PendingCommit {
    std::vector<GroupOffset> offsets;
    bool foreign = false;
    CommitDone done;
    int64_t until_ms = 0;
    int64_t not_before_ms = 0;
  };
  using Partitions = std::unordered_map<std::string, std::unique_ptr<GroupPartition>>;

  GroupConsumer(GroupSettings settings, std::function<void()> ring)
      : settings_(std::move(settings)), ring_(std::move(ring)) {}

  bool Create(std::string* error);
  void Post(Command command);
  void Signal();
  void Run();
  /// False while nobody takes the mail.
  bool WaitForWork(std::deque<Command>* commands);
  void ServeEvents(rd_kafka_queue_t* queue);
  void HandleEvent(rd_kafka_event_t* event);
  void HandleRebalance(rd_kafka_event_t* event);
  void HandleCommit(rd_kafka_event_t* event);
  void ServePartitions();
  void ServeRevoke(int64_t now_ms);
  void ServeCommits(int64_t now_ms);
  void EndCommit(int code);
  void EndCommits();
  void DoSubscribe(const std::vector<std::string>& topics);
  void DoStart(const Place& place, uint32_t epoch, int64_t offset);
  void DoWant(const Place& place, uint32_t epoch, int64_t bytes);
  void DoClose(std::function<void()> done);
  /// Has librdkafka read the partition from where it was started last; later, when it refuses.
  void Seat(GroupPartition* partition);
  void ServeUnseated(int64_t now_ms);
  void Assign(GroupPartition* partition);
  void Unassign(GroupPartition* partition);
  /// Hands up what librdkafka refuses, and frees it; 0 when it refused nothing.
  int Tell(const GroupPartition* partition, rd_kafka_error_t* error);
  /// Tells librdkafka that they are given up, and forgets them.
  void GiveUp(const std::vector<Place>& places);
  void FinishRevoke();
  GroupPartition* Find(const Place& place) const;
  bool IsClosed(int64_t now_ms);
  void Shut();
  void Add(GroupNote::Kind kind, std::vector<Place> places);
  void HandUp();
  /// With a partition: what its present start has come to.
  void AddError(int code, std::string text, const GroupPartition* partition);

  const GroupSettings settings_;
  const std::function<void()> ring_;

  std::mutex lock_;
  std::condition_variable bell_;
  bool signalled_ = false;
  std::deque<Command> inbox_;
  std::vector<GroupNote> mail_;
  size_t mail_bytes_ = 0;
  int64_t mail_since_ms_ = 0;

  // The consumer's thread.
  rd_kafka_t* rk_ = nullptr;
  std::function<void()> signal_;
  std::unique_ptr<Lifeline> lifeline_;
  rd_kafka_queue_t* queue_ = nullptr;
  rd_kafka_queue_t* replies_ = nullptr;
  Partitions partitions_;
  std::vector<GroupNote> out_;
  size_t out_bytes_ = 0;
  /// There is more to pack than the mail takes: who empties it rings.
  std::atomic<bool> work_left_{false};
  bool revoking_ = false;
  int revoke_serial_ = 0;
  std::vector<Place> revoked_;
  int64_t revoke_until_ms_ = 0;
  /// A jump's unassign may have answered a revocation that we had not seen yet.
  bool disturbed_ = false;
  std::deque<Command> after_revoke_;
  /// Something was started that librdkafka did not take as it was to be, and when it is tried again.
  bool unseated_ = false;
  int64_t seat_again_ms_ = 0;
  std::deque<PendingCommit> commits_;
  bool committing_ = false;
  std::unique_ptr<CommittedAsker> asker_;
  std::unordered_map<int, int64_t> said_ms_;
  bool closing_ = false;
  bool abandoned_ = false;
  int64_t close_until_ms_ = 0;
  std::function<void()> closed_;
};

}  // namespace mq::kafka

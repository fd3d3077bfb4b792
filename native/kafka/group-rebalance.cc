// What comes to a group's member and goes from it, and where its partitions are read from.
#include <algorithm>

#include "kafka/group-consumer.h"
#include "kafka/system.h"

namespace mq::kafka {
namespace {

/// Between two tries to have a partition read that librdkafka did not take.
constexpr int64_t kSeatAgainMs = 1'000;

rd_kafka_topic_partition_list_t* NewList() { return rd_kafka_topic_partition_list_new(8); }

rd_kafka_topic_partition_t* AddPlace(rd_kafka_topic_partition_list_t* list, const Place& place) {
  return rd_kafka_topic_partition_list_add(list, place.topic.c_str(), place.partition);
}

std::vector<Place> PlacesOf(const rd_kafka_topic_partition_list_t* list) {
  std::vector<Place> places;
  for (int i = 0; list != nullptr && i < list->cnt; i++) {
    places.push_back({list->elems[i].topic, list->elems[i].partition});
  }
  return places;
}

}  // namespace

void GroupConsumer::HandleRebalance(rd_kafka_event_t* event) {
  std::vector<Place> places = PlacesOf(rd_kafka_event_topic_partition_list(event));
  if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    for (const Place& place : places) {
      partitions_.emplace(KeyOf(place.topic, place.partition),
                          std::make_unique<GroupPartition>(place, signal_));
    }
    rd_kafka_topic_partition_list_t* none = NewList();
    Tell(nullptr, rd_kafka_incremental_assign(rk_, none));
    rd_kafka_topic_partition_list_destroy(none);
    Add(GroupNote::kAssigned, std::move(places));
    return;
  }
  const bool lost = rd_kafka_assignment_lost(rk_) != 0 || disturbed_ || abandoned_;
  if (lost || places.empty()) {
    GiveUp(places);
    if (!places.empty()) Add(GroupNote::kLost, std::move(places));
    return;
  }
  for (const Place& place : places) {
    GroupPartition* partition = Find(place);
    if (partition != nullptr) partition->Halt();
  }
  revoking_ = true;
  revoke_until_ms_ = SteadyMs() + settings_.revoke_timeout_ms;
  revoked_ = places;
  Add(GroupNote::kRevoking, std::move(places));
  out_.back().code = ++revoke_serial_;
}

void GroupConsumer::ServeRevoke(int64_t now_ms) {
  if (!revoking_) return;
  const bool lost = rd_kafka_assignment_lost(rk_) != 0;
  if (!lost && now_ms < revoke_until_ms_) return;
  Add(GroupNote::kLost, revoked_);
  if (!lost) {
    AddError(RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
             "partitions were not given up within " +
                 std::to_string(settings_.revoke_timeout_ms) + " ms",
             nullptr);
  }
  FinishRevoke();
}

void GroupConsumer::FinishRevoke() {
  if (!revoking_) return;
  revoking_ = false;
  GiveUp(revoked_);
  revoked_.clear();
  std::deque<Command> waiting;
  waiting.swap(after_revoke_);
  for (Command& command : waiting) command();
}

void GroupConsumer::GiveUp(const std::vector<Place>& places) {
  rd_kafka_topic_partition_list_t* list = NewList();
  for (const Place& place : places) {
    auto found = partitions_.find(KeyOf(place.topic, place.partition));
    if (found == partitions_.end()) continue;
    if (found->second->assigned) AddPlace(list, place);
    partitions_.erase(found);
  }
  Tell(nullptr, rd_kafka_incremental_unassign(rk_, list));
  rd_kafka_topic_partition_list_destroy(list);
}

void GroupConsumer::DoStart(const Place& place, uint32_t epoch, int64_t offset) {
  GroupPartition* partition = Find(place);
  if (partition == nullptr || closing_) return;
  if (revoking_) {
    const bool leaves = std::any_of(revoked_.begin(), revoked_.end(), [&](const Place& one) {
      return one.topic == place.topic && one.partition == place.partition;
    });
    if (!leaves) {
      partition->Halt();
      after_revoke_.push_back([this, place, epoch, offset] { DoStart(place, epoch, offset); });
    }
    return;
  }
  partition->Open(rk_);
  partition->Restart(epoch, offset);
  Seat(partition);
}

void GroupConsumer::DoWant(const Place& place, uint32_t epoch, int64_t bytes) {
  GroupPartition* partition = Find(place);
  if (partition == nullptr) return;
  if (partition->epoch() == epoch) return partition->Want(bytes);
  // Its start may wait for the end of a revocation.
  if (!revoking_) return;
  after_revoke_.push_back([this, place, epoch, bytes] { DoWant(place, epoch, bytes); });
}

void GroupConsumer::Seat(GroupPartition* partition) {
  const Place place = partition->place();
  if (partition->assigned) {
    Unassign(partition);
    disturbed_ = true;
    ServeEvents(queue_);
    disturbed_ = false;
    partition = Find(place);
    if (partition == nullptr) return;
  }
  if (!partition->assigned) Assign(partition);
  if (partition->seated) return;
  if (!unseated_) seat_again_ms_ = SteadyMs() + kSeatAgainMs;
  unseated_ = true;
}

void GroupConsumer::ServeUnseated(int64_t now_ms) {
  // As a start, it waits for the end of a revocation.
  if (!unseated_ || revoking_ || closing_ || now_ms < seat_again_ms_) return;
  unseated_ = false;
  std::vector<Place> places;
  for (const auto& [key, partition] : partitions_) {
    if (partition->started() && !partition->seated) places.push_back(partition->place());
  }
  // What comes between may take some of them away.
  for (const Place& place : places) {
    GroupPartition* partition = Find(place);
    if (partition != nullptr) Seat(partition);
  }
}

void GroupConsumer::Unassign(GroupPartition* partition) {
  rd_kafka_topic_partition_list_t* list = NewList();
  AddPlace(list, partition->place());
  const int code = Tell(partition, rd_kafka_incremental_unassign(rk_, list));
  rd_kafka_topic_partition_list_destroy(list);
  // A bad argument: it is not there.
  partition->assigned = code != 0 && code != RD_KAFKA_RESP_ERR__INVALID_ARG;
}

void GroupConsumer::Assign(GroupPartition* partition) {
  rd_kafka_topic_partition_list_t* list = NewList();
  AddPlace(list, partition->place())->offset = partition->next();
  const int code = Tell(partition, rd_kafka_incremental_assign(rk_, list));
  rd_kafka_topic_partition_list_destroy(list);
  partition->seated = code == 0;
  // A conflict: it is there, from where it was started before.
  partition->assigned = code == 0 || code == RD_KAFKA_RESP_ERR__CONFLICT;
}

int GroupConsumer::Tell(const GroupPartition* partition, rd_kafka_error_t* error) {
  if (error == nullptr) return 0;
  const int code = rd_kafka_error_code(error);
  std::string text = rd_kafka_error_string(error);
  if (partition != nullptr) {
    const Place& place = partition->place();
    text = place.topic + " partition " + std::to_string(place.partition) + ": " + text;
  }
  // In the text alone: what all of them meet, again and again, is said once a second.
  AddError(code, std::move(text), nullptr);
  rd_kafka_error_destroy(error);
  return code;
}

}  // namespace mq::kafka

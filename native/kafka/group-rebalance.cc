// What comes to a group's member and goes from it, and where its partitions are read from.
#include <algorithm>

#include "kafka/group-consumer.h"
#include "kafka/system.h"

namespace mq::kafka {
namespace {

rd_kafka_topic_partition_list_t* NewList() { return rd_kafka_topic_partition_list_new(8); }

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
    rd_kafka_error_t* error = rd_kafka_incremental_assign(rk_, none);
    rd_kafka_topic_partition_list_destroy(none);
    if (error != nullptr) {
      AddError(rd_kafka_error_code(error), rd_kafka_error_string(error), nullptr);
      rd_kafka_error_destroy(error);
    }
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
    if (found->second->assigned) {
      rd_kafka_topic_partition_list_add(list, place.topic.c_str(), place.partition);
    }
    partitions_.erase(found);
  }
  rd_kafka_error_t* error = rd_kafka_incremental_unassign(rk_, list);
  rd_kafka_topic_partition_list_destroy(list);
  if (error != nullptr) {
    AddError(rd_kafka_error_code(error), rd_kafka_error_string(error), nullptr);
    rd_kafka_error_destroy(error);
  }
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
  if (partition->assigned) return Jump(partition, epoch, offset);
  partition->Open(rk_);
  partition->Restart(epoch, offset);
  Assign(partition, offset);
}

void GroupConsumer::DoWant(const Place& place, uint32_t epoch, int64_t bytes) {
  GroupPartition* partition = Find(place);
  if (partition == nullptr) return;
  if (partition->epoch() == epoch) return partition->Want(bytes);
  // Its start may wait for the end of a revocation.
  if (!revoking_) return;
  after_revoke_.push_back([this, place, epoch, bytes] { DoWant(place, epoch, bytes); });
}

void GroupConsumer::Jump(GroupPartition* partition, uint32_t epoch, int64_t offset) {
  const Place place = partition->place();
  rd_kafka_topic_partition_list_t* list = NewList();
  rd_kafka_topic_partition_list_add(list, place.topic.c_str(), place.partition);
  rd_kafka_error_t* error = rd_kafka_incremental_unassign(rk_, list);
  rd_kafka_topic_partition_list_destroy(list);
  if (error != nullptr) rd_kafka_error_destroy(error);
  partition->assigned = false;
  disturbed_ = true;
  ServeEvents(queue_);
  disturbed_ = false;
  if (Find(place) == nullptr) return;
  partition->Restart(epoch, offset);
  Assign(partition, offset);
}

void GroupConsumer::Assign(GroupPartition* partition, int64_t offset) {
  const Place& place = partition->place();
  rd_kafka_topic_partition_list_t* list = NewList();
  rd_kafka_topic_partition_list_add(list, place.topic.c_str(), place.partition)->offset = offset;
  rd_kafka_error_t* error = rd_kafka_incremental_assign(rk_, list);
  rd_kafka_topic_partition_list_destroy(list);
  partition->assigned = error == nullptr;
  if (error == nullptr) return;
  AddError(rd_kafka_error_code(error), rd_kafka_error_string(error), partition);
  rd_kafka_error_destroy(error);
}

}  // namespace mq::kafka

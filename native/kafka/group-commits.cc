// The commits of a group's member, and what is asked of them.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kafka/group-consumer.h"
#include "kafka/system.h"

namespace mq::kafka {
namespace {

/// How long a commit is tried while the group is between two owners of its state.
constexpr int64_t kCommitMs = 10'000;
constexpr int64_t kAgainMs = 50;
constexpr int kAskMs = 10'000;

bool MayPassLater(int code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
      return true;
    default:
      return false;
  }
}

rd_kafka_topic_partition_list_t* ListOf(const std::vector<GroupOffset>& offsets) {
  auto* list = rd_kafka_topic_partition_list_new(static_cast<int>(offsets.size()));
  for (const GroupOffset& one : offsets) {
    rd_kafka_topic_partition_t* entry =
        rd_kafka_topic_partition_list_add(list, one.place.topic.c_str(), one.place.partition);
    entry->offset = one.offset;
    if (one.metadata.empty()) continue;
    // The list frees it with the C library's free.
    entry->metadata = malloc(one.metadata.size());
    if (entry->metadata == nullptr) continue;
    memcpy(entry->metadata, one.metadata.data(), one.metadata.size());
    entry->metadata_size = one.metadata.size();
  }
  return list;
}

std::string TextOf(int code) {
  return rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(code));
}

}  // namespace

void GroupConsumer::Commit(std::vector<GroupOffset> offsets, bool foreign, CommitDone done) {
  Post([this, offsets = std::move(offsets), foreign, done = std::move(done)]() mutable {
    commits_.push_back({std::move(offsets), foreign, std::move(done), SteadyMs() + kCommitMs, 0});
  });
}

void GroupConsumer::ServeCommits(int64_t now_ms) {
  while (!committing_ && !commits_.empty() && now_ms >= commits_.front().not_before_ms) {
    const PendingCommit& commit = commits_.front();
    const bool owned = commit.foreign || std::all_of(
        commit.offsets.begin(), commit.offsets.end(),
        [this](const GroupOffset& one) { return Find(one.place) != nullptr; });
    if (!owned || rd_kafka_assignment_lost(rk_) != 0) {
      EndCommit(RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
      continue;
    }
    rd_kafka_topic_partition_list_t* list = ListOf(commit.offsets);
    const rd_kafka_resp_err_t code = rd_kafka_commit_queue(rk_, list, replies_, nullptr, nullptr);
    rd_kafka_topic_partition_list_destroy(list);
    committing_ = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (!committing_) EndCommit(code);
  }
}

void GroupConsumer::HandleCommit(rd_kafka_event_t* event) {
  if (!committing_) return;
  committing_ = false;
  int code = rd_kafka_event_error(event);
  const rd_kafka_topic_partition_list_t* list = rd_kafka_event_topic_partition_list(event);
  for (int i = 0; code == 0 && list != nullptr && i < list->cnt; i++) code = list->elems[i].err;
  PendingCommit& commit = commits_.front();
  const int64_t now = SteadyMs();
  if (MayPassLater(code) && now + kAgainMs < commit.until_ms && !abandoned_) {
    commit.not_before_ms = now + kAgainMs;
    return;
  }
  EndCommit(code);
}

void GroupConsumer::EndCommit(int code) {
  PendingCommit commit = std::move(commits_.front());
  commits_.pop_front();
  commit.done(code, code == 0 ? "" : TextOf(code));
}

void GroupConsumer::EndCommits() {
  while (!commits_.empty()) EndCommit(RD_KAFKA_RESP_ERR__DESTROY);
  for (auto& [id, done] : asked_) {
    done(RD_KAFKA_RESP_ERR__DESTROY, TextOf(RD_KAFKA_RESP_ERR__DESTROY), {});
  }
  asked_.clear();
}

void GroupConsumer::Committed(std::vector<Place> places, CommittedDone done) {
  Post([this, places = std::move(places), done = std::move(done)]() mutable {
    if (places.empty()) return done(0, "", {});
    auto* list = rd_kafka_topic_partition_list_new(static_cast<int>(places.size()));
    for (const Place& place : places) {
      rd_kafka_topic_partition_list_add(list, place.topic.c_str(), place.partition);
    }
    rd_kafka_ListConsumerGroupOffsets_t* ask =
        rd_kafka_ListConsumerGroupOffsets_new(settings_.group.c_str(), list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_AdminOptions_t* options =
        rd_kafka_AdminOptions_new(rk_, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    char reason[128];
    rd_kafka_AdminOptions_set_request_timeout(options, kAskMs, reason, sizeof(reason));
    const uintptr_t id = next_ask_++;
    rd_kafka_AdminOptions_set_opaque(options, reinterpret_cast<void*>(id));
    asked_.emplace(id, std::move(done));
    rd_kafka_ListConsumerGroupOffsets(rk_, &ask, 1, options, replies_);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ListConsumerGroupOffsets_destroy(ask);
  });
}

void GroupConsumer::HandleCommitted(rd_kafka_event_t* event) {
  auto found = asked_.find(reinterpret_cast<uintptr_t>(rd_kafka_event_opaque(event)));
  if (found == asked_.end()) return;
  CommittedDone done = std::move(found->second);
  asked_.erase(found);
  const rd_kafka_resp_err_t code = rd_kafka_event_error(event);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return done(code, rd_kafka_event_error_string(event), {});
  }
  size_t count = 0;
  const rd_kafka_group_result_t** groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
      rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
  if (count == 0) return done(RD_KAFKA_RESP_ERR__FAIL, "an answer without the group", {});
  const rd_kafka_error_t* error = rd_kafka_group_result_error(groups[0]);
  if (error != nullptr) {
    return done(rd_kafka_error_code(error), rd_kafka_error_string(error), {});
  }
  const rd_kafka_topic_partition_list_t* list = rd_kafka_group_result_partitions(groups[0]);
  std::vector<GroupOffset> offsets;
  for (int i = 0; list != nullptr && i < list->cnt; i++) {
    const rd_kafka_topic_partition_t& entry = list->elems[i];
    if (entry.err != RD_KAFKA_RESP_ERR_NO_ERROR) return done(entry.err, TextOf(entry.err), {});
    GroupOffset offset;
    offset.place = {entry.topic, entry.partition};
    offset.offset = entry.offset;
    if (entry.metadata != nullptr) {
      offset.metadata.assign(static_cast<const char*>(entry.metadata), entry.metadata_size);
    }
    offsets.push_back(std::move(offset));
  }
  done(0, "", std::move(offsets));
}

}  // namespace mq::kafka

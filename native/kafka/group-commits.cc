// The commits of a group's member.
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
}

void GroupConsumer::Committed(std::vector<Place> places, CommittedDone done) {
  Post([this, places = std::move(places), done = std::move(done)]() mutable {
    asker_->Ask(std::move(places), std::move(done));
  });
}

}  // namespace mq::kafka

// Cluster metadata as plain data, free of librdkafka's memory.
#pragma once

#include <rdkafka.h>

#include <cstdint>
#include <string>
#include <vector>

namespace mq::kafka {

struct PartitionInfo {
  int32_t partition;
  int32_t leader;
  int32_t replicas;
  int32_t in_sync;
  int32_t code;
};

struct TopicInfo {
  std::string name;
  int32_t code = 0;
  std::vector<PartitionInfo> partitions;
};

struct BrokerInfo {
  int32_t id;
  std::string host;
  int32_t port;
};

struct ClusterMetadata {
  std::vector<BrokerInfo> brokers;
  std::vector<TopicInfo> topics;
};

/// Copies and frees.
ClusterMetadata TakeMetadata(const struct rd_kafka_metadata* raw);

}  // namespace mq::kafka

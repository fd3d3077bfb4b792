#include "kafka/metadata.h"

namespace mq::kafka {

ClusterMetadata TakeMetadata(const struct rd_kafka_metadata* raw) {
  ClusterMetadata taken;
  for (int i = 0; i < raw->broker_cnt; i++) {
    const auto& broker = raw->brokers[i];
    taken.brokers.push_back({broker.id, broker.host, broker.port});
  }
  for (int i = 0; i < raw->topic_cnt; i++) {
    const auto& topic = raw->topics[i];
    TopicInfo info;
    info.name = topic.topic;
    info.code = topic.err;
    for (int p = 0; p < topic.partition_cnt; p++) {
      const auto& partition = topic.partitions[p];
      info.partitions.push_back({partition.id, partition.leader, partition.replica_cnt,
                                 partition.isr_cnt, partition.err});
    }
    taken.topics.push_back(std::move(info));
  }
  rd_kafka_metadata_destroy(raw);
  return taken;
}

}  // namespace mq::kafka

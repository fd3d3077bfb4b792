// What a group consumer hands up, in the order in which it happened.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/record-index.h"

namespace mq::kafka {

struct Place {
  std::string topic;
  int32_t partition = 0;
};

inline std::string KeyOf(const std::string& topic, int32_t partition) {
  return topic + '/' + std::to_string(partition);
}

/// Packed records of one partition.
struct GroupBatch {
  Place place;
  /// Of the start that led to it; an older one than the last is not given.
  uint32_t epoch = 0;
  std::vector<uint8_t> records;
  RecordIndex index;
  int64_t next = 0;
  int64_t end = 0;
};

struct GroupNote {
  enum Kind { kAssigned, kRevoking, kLost, kError, kRecords };
  Kind kind = kError;
  std::vector<Place> places;
  /// Of an error; of kRevoking its serial, by which it is answered.
  int code = 0;
  std::string text;
  /// Of an error of one partition: the start that led to it.
  uint32_t epoch = 0;
  GroupBatch batch;
};

struct GroupOffset {
  Place place;
  int64_t offset = -1;
  std::string metadata;
};

}  // namespace mq::kafka

// A consumed message as a record of the wire's TAIL answer.
#pragma once

#include <rdkafka.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mq::kafka {

/// Appends the record; a header `mq` of ours becomes the record's id and is left out.
void AppendTailRecord(const rd_kafka_message_t* message, std::vector<uint8_t>* out);

/// An upper bound of the bytes AppendTailRecord adds.
size_t TailRecordBytesMax(const rd_kafka_message_t* message);

}  // namespace mq::kafka

#include "bind/kafka-values.h"

#include <memory>

#include "bind/kafka-fields.h"

namespace mq {
namespace {

constexpr int64_t kNumberMax = 9007199254740991;
constexpr size_t kSegmentIdBytes = 16;

/// An optional Uint8Array.
bool ReadOptionalBytes(Napi::Env env, napi_value object, const char* name, const uint8_t** data,
                       size_t* length) {
  napi_value value = FieldOf(env, object, name);
  if (!IsPresent(env, value)) return true;
  BytesView view;
  if (!ReadBytes(env, value, name, &view)) return false;
  *data = view.data;
  *length = view.length;
  return true;
}

bool ReadSegments(Napi::Env env, napi_value value, kafka::ProduceRequest* request) {
  BytesView ids;
  const uint8_t* flags = nullptr;
  size_t flags_length = 0;
  if (!ReadBytes(env, FieldOf(env, value, "ids"), "ids", &ids) ||
      !ReadArray(env, FieldOf(env, value, "segmentCounts"), napi_int32_array, "segmentCounts",
                 &request->segment_counts, &request->segments) ||
      !ReadOptionalBytes(env, value, "segmentFlags", &flags, &flags_length)) {
    return false;
  }
  bool fits = ids.length >= request->segments * kSegmentIdBytes &&
              (flags == nullptr || flags_length >= request->segments);
  for (size_t i = 0; fits && i < request->segments; i++) fits = request->segment_counts[i] >= 0;
  if (!fits) {
    Napi::RangeError::New(env, "ids, segmentCounts and segmentFlags do not fit")
        .ThrowAsJavaScriptException();
    return false;
  }
  request->ids = ids.data;
  request->segment_flags = flags;
  return true;
}

Napi::Object BrokerValue(Napi::Env env, const kafka::BrokerInfo& broker) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("id", broker.id);
  value.Set("host", broker.host);
  value.Set("port", broker.port);
  return value;
}

Napi::Object PartitionValue(Napi::Env env, const kafka::PartitionInfo& partition) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("partition", partition.partition);
  value.Set("leader", partition.leader);
  value.Set("replicas", partition.replicas);
  value.Set("inSync", partition.in_sync);
  value.Set("code", partition.code);
  return value;
}

Napi::Object TopicValue(Napi::Env env, const kafka::TopicInfo& topic) {
  Napi::Object value = Napi::Object::New(env);
  Napi::Array partitions = Napi::Array::New(env, topic.partitions.size());
  for (uint32_t i = 0; i < topic.partitions.size(); i++) {
    partitions.Set(i, PartitionValue(env, topic.partitions[i]));
  }
  value.Set("name", topic.name);
  value.Set("code", topic.code);
  value.Set("partitions", partitions);
  return value;
}

}  // namespace

MakeValue MakeFlag(bool flag) {
  return [flag](napi_env env) -> napi_value { return Napi::Boolean::New(env, flag); };
}

MakeValue MakeMetadata(kafka::ClusterMetadata metadata) {
  auto held = std::make_shared<kafka::ClusterMetadata>(std::move(metadata));
  return [held](napi_env raw) -> napi_value {
    Napi::Env env(raw);
    Napi::Array brokers = Napi::Array::New(env, held->brokers.size());
    for (uint32_t i = 0; i < held->brokers.size(); i++) {
      brokers.Set(i, BrokerValue(env, held->brokers[i]));
    }
    Napi::Array topics = Napi::Array::New(env, held->topics.size());
    for (uint32_t i = 0; i < held->topics.size(); i++) {
      topics.Set(i, TopicValue(env, held->topics[i]));
    }
    Napi::Object value = Napi::Object::New(env);
    value.Set("brokers", brokers);
    value.Set("topics", topics);
    return value;
  };
}

bool ReadProduceRequest(Napi::Env env, napi_value value, kafka::ProduceRequest* request) {
  if (value == nullptr || !Napi::Value(env, value).IsObject()) {
    Napi::TypeError::New(env, "request must be an object").ThrowAsJavaScriptException();
    return false;
  }
  BytesView payload;
  BytesView origin;
  int64_t first_sequence = 0;
  int64_t from_ordinal = 0;
  int64_t accepted_ms = 0;
  int64_t only_topic = -1;
  if (!ReadBytes(env, FieldOf(env, value, "payload"), "payload", &payload) ||
      !ReadBytes(env, FieldOf(env, value, "originNode"), "originNode", &origin) ||
      !ReadNumber(env, value, "firstSequence", 0, (int64_t{1} << 48) - 1, 0, &first_sequence) ||
      !ReadNumber(env, value, "fromOrdinal", 0, kNumberMax, 0, &from_ordinal) ||
      !ReadNumber(env, value, "acceptedMs", 0, kNumberMax, 0, &accepted_ms) ||
      !ReadNumber(env, value, "onlyTopic", -1, 65535, -1, &only_topic) ||
      !ReadOptionalBytes(env, value, "skip", &request->skip, &request->skip_length) ||
      !ReadOptionalBytes(env, value, "topicsBlocked", &request->blocked,
                         &request->blocked_length) ||
      !ReadSegments(env, value, request)) {
    return false;
  }
  if (origin.length != 8) {
    Napi::RangeError::New(env, "originNode must have 8 bytes").ThrowAsJavaScriptException();
    return false;
  }
  request->payload = payload.data;
  request->payload_length = payload.length;
  request->origin_node = origin.data;
  request->first_sequence = static_cast<uint64_t>(first_sequence);
  request->from_ordinal = static_cast<uint64_t>(from_ordinal);
  request->accepted_ms = static_cast<uint64_t>(accepted_ms);
  request->only_topic = static_cast<int32_t>(only_topic);
  return true;
}

Napi::Value ProduceResult(Napi::Env env, const kafka::ProduceOutcome& outcome) {
  // Nearly always empty: a plain array, since a typed one costs memory outside V8's heap.
  Napi::Array deferred = Napi::Array::New(env);
  uint32_t at = 0;
  for (const kafka::Deferred& row : outcome.deferred) {
    deferred.Set(at++, static_cast<double>(row.topic));
    deferred.Set(at++, static_cast<double>(row.first_sequence));
    deferred.Set(at++, static_cast<double>(row.count));
    deferred.Set(at++, static_cast<double>(row.reason));
  }
  Napi::Object value = Napi::Object::New(env);
  value.Set("sent", static_cast<double>(outcome.sent));
  value.Set("nextOrdinal", static_cast<double>(outcome.next_ordinal));
  value.Set("fatal", outcome.fatal);
  value.Set("deferred", deferred);
  return value;
}

}  // namespace mq

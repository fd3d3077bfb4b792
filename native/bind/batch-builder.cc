// BatchBuilder: the JavaScript class over BatchScan, the payload encoder and the chunk encoder.
#include <algorithm>
#include <memory>

#include "core/batch-scan.h"
#include "core/chunk-encoder.h"
#include "core/payload-encoder.h"
#include "napi/args.h"
#include "napi/module.h"

namespace mq {
namespace {

constexpr uint64_t kMessagesMax = 1u << 20;
constexpr uint64_t kUint32Max = 0xFFFFFFFFu;

/// A JavaScript ArrayBuffer that only grows, used for what is handed out and built anew each time.
class Scratch {
 public:
  uint8_t* Reserve(Napi::Env env, size_t bytes) {
    if (bytes > capacity_ || buffer_.IsEmpty()) {
      const size_t wanted = std::max<size_t>({bytes, capacity_ * 2, 64 * 1024});
      buffer_ = Napi::Persistent(Napi::ArrayBuffer::New(env, wanted));
      if (env.IsExceptionPending()) return nullptr;
      capacity_ = wanted;
    }
    return static_cast<uint8_t*>(buffer_.Value().Data());
  }

  Napi::Value View(Napi::Env env, size_t bytes) {
    if (buffer_.IsEmpty()) return Napi::Uint8Array::New(env, 0);
    return Napi::Uint8Array::New(env, bytes, buffer_.Value(), 0);
  }

 private:
  Napi::Reference<Napi::ArrayBuffer> buffer_;
  size_t capacity_ = 0;
};

/// A number of an options object from 0 to `max`; -1 when absent, -2 with an exception pending.
double ReadOption(Napi::Env env, Napi::Object options, const char* name, uint64_t max) {
  const Napi::Value value = options.Get(name);
  if (env.IsExceptionPending()) return -2;
  if (value.IsUndefined()) return -1;
  uint64_t number = 0;
  if (!ReadIndex(env, value, name, &number)) return -2;
  if (number > max) {
    Napi::RangeError::New(env, std::string(name) + " is too large").ThrowAsJavaScriptException();
    return -2;
  }
  return static_cast<double>(number);
}

bool ReadWanted(Napi::Env env, Napi::Object options, const char* name, uint64_t max,
                uint32_t* out) {
  const double number = ReadOption(env, options, name, max);
  if (number >= 1) {
    *out = static_cast<uint32_t>(number);
    return true;
  }
  if (number >= -1) {
    Napi::RangeError::New(env, std::string(name) + " must be at least 1")
        .ThrowAsJavaScriptException();
  }
  return false;
}

bool ReadIfThere(Napi::Env env, Napi::Object options, const char* name, uint64_t max,
                 uint32_t* out) {
  const double number = ReadOption(env, options, name, max);
  if (number >= 0) *out = static_cast<uint32_t>(number);
  return number > -2;
}

class BatchBuilder : public Napi::ObjectWrap<BatchBuilder> {
 public:
  static void Init(Napi::Env env, Napi::Object exports) {
    exports.Set(
        "BatchBuilder",
        DefineClass(env, "BatchBuilder",
                    {
                        InstanceMethod<&BatchBuilder::SetTopic>("setTopic"),
                        InstanceMethod<&BatchBuilder::SetDue>("setDue"),
                        InstanceMethod<&BatchBuilder::Scan>("scan"),
                        InstanceMethod<&BatchBuilder::RewriteDue>("rewriteDue"),
                        InstanceMethod<&BatchBuilder::EncodePayload>("encodePayload"),
                        InstanceMethod<&BatchBuilder::EncodeChunks>("encodeChunks"),
                        InstanceAccessor<&BatchBuilder::TopicCount>("topicCount"),
                        InstanceAccessor<&BatchBuilder::Consumed>("consumed"),
                        InstanceAccessor<&BatchBuilder::Messages>("messages"),
                        InstanceAccessor<&BatchBuilder::DueMessages>("dueMessages"),
                        InstanceAccessor<&BatchBuilder::PayloadBytes>("payloadBytes"),
                        InstanceAccessor<&BatchBuilder::Payload>("payload"),
                        InstanceAccessor<&BatchBuilder::PayloadCrc>("payloadCrc"),
                        InstanceAccessor<&BatchBuilder::AcceptedMessages>("acceptedMessages"),
                        InstanceAccessor<&BatchBuilder::ChunkTable>("chunkTable"),
                        InstanceAccessor<&BatchBuilder::ChunkBytes>("chunkBytes"),
                        InstanceAccessor<&BatchBuilder::Places>("places"),
                    }));
  }

  explicit BatchBuilder(const Napi::CallbackInfo& info) : Napi::ObjectWrap<BatchBuilder>(info) {
    Napi::Env env = info.Env();
    if (info.Length() < 1 || !info[0].IsObject()) {
      Napi::TypeError::New(env, "options must be an object").ThrowAsJavaScriptException();
      return;
    }
    const Napi::Object options = info[0].As<Napi::Object>();
    MessageLimits limits;
    uint32_t messages_max = 0;
    uint32_t segments_max = 0;
    if (!ReadWanted(env, options, "messageBytesMax", kUint32Max, &limits.message_bytes_max) ||
        !ReadWanted(env, options, "keyBytesMax", kUint32Max, &limits.key_bytes_max) ||
        !ReadWanted(env, options, "headersBytesMax", kUint32Max, &limits.headers_bytes_max) ||
        !ReadWanted(env, options, "messagesMax", kMessagesMax, &messages_max) ||
        !ReadWanted(env, options, "segmentsMax", kMessagesMax, &segments_max)) {
      return;
    }
    const uint32_t topics_max = std::min<uint32_t>(messages_max, 65535);
    ScanTables tables;
    tables.segments = Table<Napi::Int32Array>(env, "segments", segments_max * kSegmentInts);
    tables.accept = Table<Napi::Uint8Array>(env, "accept", messages_max);
    tables.message_topics = Table<Napi::Uint16Array>(env, "messageTopics", messages_max);
    tables.topics = Table<Napi::Int32Array>(env, "topics", topics_max);
    tables.topic_messages = Table<Napi::Int32Array>(env, "topicMessages", topics_max);
    if (env.IsExceptionPending()) return;
    scan_ = std::make_unique<BatchScan>(limits, messages_max, segments_max, tables);
  }

 private:
  /// A typed array as a property of this object that cannot be replaced, so that its memory lives
  /// as long as the builder.
  template <typename Array>
  auto Table(Napi::Env env, const char* name, size_t length) -> decltype(Array().Data()) {
    if (env.IsExceptionPending()) return nullptr;
    Array array = Array::New(env, length);
    if (env.IsExceptionPending()) return nullptr;
    Value().DefineProperty(Napi::PropertyDescriptor::Value(name, array, napi_enumerable));
    return array.Data();
  }

  void SetTopic(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    uint64_t topic = 0;
    if (!ReadIndex(env, info[0], "topic", &topic)) return;
    if (topic < 1 || topic > 65535 || !info[1].IsObject()) {
      Napi::RangeError::New(env, "setTopic takes a topic from 1 to 65535 and an object")
          .ThrowAsJavaScriptException();
      return;
    }
    const Napi::Object what = info[1].As<Napi::Object>();
    TopicRule rule;
    uint32_t code = 0;
    if (!ReadIfThere(env, what, "partitions", 0x7fffffff, &rule.partitions) ||
        !ReadIfThere(env, what, "messageBytesMax", kUint32Max, &rule.message_bytes_max) ||
        !ReadIfThere(env, what, "code", 65535, &code)) {
      return;
    }
    rule.code = static_cast<uint16_t>(code);
    scan_->set_topic(static_cast<uint16_t>(topic), rule);
    const Napi::Value name = what.Get("name");
    if (name.IsString()) {
      scan_->set_topic_name(static_cast<uint16_t>(topic), name.As<Napi::String>().Utf8Value());
    }
  }

  void SetDue(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (!info[0].IsObject()) {
      Napi::TypeError::New(env, "rules must be an object").ThrowAsJavaScriptException();
      return;
    }
    const Napi::Object from = info[0].As<Napi::Object>();
    uint64_t topic = 0;
    BytesView origin;
    const double* levels = nullptr;
    size_t level_count = 0;
    if (!ReadIndex(env, from.Get("topic"), "topic", &topic) ||
        !ReadBytes(env, from.Get("originNode"), "originNode", &origin) ||
        !ReadArray(env, from.Get("levelsMs"), napi_float64_array, "levelsMs", &levels,
                   &level_count)) {
      return;
    }
    DueRules rules;
    if (topic > 65535 || origin.length != sizeof rules.origin_node) {
      Napi::RangeError::New(env, "topic is a u16, originNode has 8 bytes")
          .ThrowAsJavaScriptException();
      return;
    }
    rules.topic = static_cast<uint16_t>(topic);
    memcpy(rules.origin_node, origin.data, sizeof rules.origin_node);
    for (size_t i = 0; i < level_count; ++i) {
      if (levels[i] >= 0) rules.levels.push_back(static_cast<uint64_t>(levels[i]));
    }
    scan_->set_due(rules);
  }

  /// The ring is held until the next scan: encoding reads it. Made anew only when it changes.
  void HoldRing(Napi::Env env, napi_value ring) {
    bool same = false;
    if (!ring_.IsEmpty()) napi_strict_equals(env, ring_.Value(), ring, &same);
    if (!same) ring_ = Napi::Persistent(Napi::Object(env, ring));
  }

  Napi::Value Scan(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    BytesView ring;
    uint64_t from = 0;
    uint64_t to = 0;
    uint64_t bytes_max = 0;
    if (!ReadBytes(env, info[0], "ring", &ring) || !ReadIndex(env, info[1], "from", &from) ||
        !ReadIndex(env, info[2], "to", &to) || !ReadIndex(env, info[3], "bytesMax", &bytes_max)) {
      return Napi::Value();
    }
    uint64_t now_ms = 0;
    if (!info[4].IsUndefined() && !ReadIndex(env, info[4], "nowMs", &now_ms)) {
      return Napi::Value();
    }
    HoldRing(env, info[0]);
    if (const char* wrong = scan_->scan(ring.data, ring.length, from, to, bytes_max, now_ms)) {
      Napi::RangeError::New(env, wrong).ThrowAsJavaScriptException();
      return Napi::Value();
    }
    return Napi::Number::New(env, scan_->segments());
  }

  void RewriteDue(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    BytesView ids;
    AcceptedIds accepted;
    uint64_t accepted_ms = 0;
    if (!ReadBytes(env, info[0], "ids", &ids) ||
        !ReadArray(env, info[1], napi_int32_array, "acceptedSegments", &accepted.segments,
                   &accepted.segment_count) ||
        !ReadIndex(env, info[2], "acceptedMs", &accepted_ms)) {
      return;
    }
    accepted.ids = ids.data;
    accepted.ids_bytes = ids.length;
    if (const char* wrong = scan_->rewrite_due(accepted, accepted_ms)) {
      Napi::RangeError::New(env, wrong).ThrowAsJavaScriptException();
    }
  }

  Napi::Value EncodePayload(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    uint8_t* out = payload_.Reserve(env, scan_->payload_bytes());
    if (out == nullptr) return Napi::Value();
    encoded_ = encode_payload(*scan_, out);
    accepted_ = encoded_.messages;
    return Napi::Number::New(env, static_cast<double>(encoded_.bytes));
  }

  Napi::Value EncodeChunks(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    ChunkPlan plan;
    if (!info[0].IsObject()) {
      Napi::TypeError::New(env, "plan must be an object").ThrowAsJavaScriptException();
      return Napi::Value();
    }
    if (!ReadPlan(env, info[0].As<Napi::Object>(), &plan)) return Napi::Value();
    if (const char* wrong = chunks_.place(*scan_, plan)) {
      Napi::RangeError::New(env, wrong).ThrowAsJavaScriptException();
      return Napi::Value();
    }
    uint8_t* out = chunk_bytes_.Reserve(env, chunks_.bytes());
    if (out == nullptr) return Napi::Value();
    chunks_.write(*scan_, plan, out);
    accepted_ = chunks_.messages();
    return Napi::Number::New(env, static_cast<double>(chunks_.chunk_table().size() /
                                                      ChunkEncoder::kChunkColumns));
  }

  static bool ReadPlan(Napi::Env env, Napi::Object from, ChunkPlan* plan) {
    BytesView ids;
    uint64_t sticky = 0;
    if (!ReadBytes(env, from.Get("ids"), "ids", &ids) ||
        !ReadArray(env, from.Get("acceptedSegments"), napi_int32_array, "acceptedSegments",
                   &plan->accepted_segments, &plan->accepted_segment_count) ||
        !ReadArray(env, from.Get("partitions"), napi_int32_array, "partitions", &plan->partitions,
                   &plan->topic_count) ||
        !ReadArray(env, from.Get("nextOffsets"), napi_float64_array, "nextOffsets",
                   &plan->next_offsets, &plan->offset_count) ||
        !ReadIndex(env, from.Get("sticky"), "sticky", &sticky) ||
        !ReadIndex(env, from.Get("timestampMs"), "timestampMs", &plan->timestamp_ms)) {
      return false;
    }
    plan->ids = ids.data;
    plan->ids_bytes = ids.length;
    plan->sticky = static_cast<uint32_t>(sticky);
    return true;
  }

  static Napi::Value Rows(Napi::Env env, const std::vector<double>& rows) {
    Napi::Float64Array array = Napi::Float64Array::New(env, rows.size());
    std::copy(rows.begin(), rows.end(), array.Data());
    return array;
  }

  Napi::Value TopicCount(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), scan_->topic_count());
  }
  Napi::Value Consumed(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(scan_->consumed()));
  }
  Napi::Value Messages(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), scan_->messages());
  }
  Napi::Value DueMessages(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), scan_->due_messages());
  }
  Napi::Value PayloadBytes(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(scan_->payload_bytes()));
  }
  Napi::Value Payload(const Napi::CallbackInfo& info) {
    return payload_.View(info.Env(), encoded_.bytes);
  }
  Napi::Value PayloadCrc(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), encoded_.crc);
  }
  Napi::Value AcceptedMessages(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), accepted_);
  }
  Napi::Value ChunkTable(const Napi::CallbackInfo& info) {
    return Rows(info.Env(), chunks_.chunk_table());
  }
  Napi::Value ChunkBytes(const Napi::CallbackInfo& info) {
    return chunk_bytes_.View(info.Env(), chunks_.bytes());
  }
  Napi::Value Places(const Napi::CallbackInfo& info) { return Rows(info.Env(), chunks_.places()); }

  std::unique_ptr<BatchScan> scan_;
  ChunkEncoder chunks_;
  EncodedPayload encoded_;
  uint32_t accepted_ = 0;
  Scratch payload_;
  Scratch chunk_bytes_;
  Napi::ObjectReference ring_;
};

const ModulePart kPart(&BatchBuilder::Init);

}  // namespace
}  // namespace mq

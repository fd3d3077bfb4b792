// KafkaProducer: a lane's hold on a shared native producer. See src/native/kafka.ts.
#include <algorithm>
#include <condition_variable>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bind/kafka-fields.h"
#include "bind/kafka-link.h"
#include "bind/kafka-values.h"
#include "kafka/produce.h"
#include "kafka/system.h"
#include "napi/module.h"

namespace mq {
namespace {

constexpr size_t kRowsPerCall = 4096;
constexpr size_t kColumns = 7;
constexpr int64_t kTimeMax = 24 * 3600 * 1000;

/// What the lane rings; owned together with the link, outlives the JavaScript object.
class Sink final : public kafka::LaneSink {
 public:
  void Wake() override { link->Ring(); }
  std::shared_ptr<KafkaLink> link;
};

class KafkaProducer : public Napi::ObjectWrap<KafkaProducer> {
 public:
  static void Init(Napi::Env env, Napi::Object exports) {
    kafka::PinLibrary();
    exports.Set("KafkaProducer",
                DefineClass(env, "KafkaProducer",
                            {
                                InstanceMethod<&KafkaProducer::SetTopic>("setTopic"),
                                InstanceMethod<&KafkaProducer::Produce>("produce"),
                                InstanceMethod<&KafkaProducer::PartitionCount>("partitionCount"),
                                InstanceMethod<&KafkaProducer::LastAnswer>("lastAnswer"),
                                InstanceMethod<&KafkaProducer::Metadata>("metadata"),
                                InstanceMethod<&KafkaProducer::Flush>("flush"),
                                InstanceMethod<&KafkaProducer::Renew>("renew"),
                                InstanceMethod<&KafkaProducer::Health>("health"),
                                InstanceMethod<&KafkaProducer::Close>("close"),
                                InstanceAccessor<&KafkaProducer::Generation>("generation"),
                                InstanceAccessor<&KafkaProducer::InFlight>("inFlight"),
                                InstanceAccessor<&KafkaProducer::Trouble>("trouble"),
                            }));
  }

  explicit KafkaProducer(const Napi::CallbackInfo& info) : Napi::ObjectWrap<KafkaProducer>(info) {
    Napi::Env env = info.Env();
    if (info.Length() < 1 || !info[0].IsObject()) {
      Napi::TypeError::New(env, "options must be an object").ThrowAsJavaScriptException();
      return;
    }
    napi_value options = info[0];
    std::string key;
    kafka::Config config;
    int64_t lane = 0;
    if (!ReadString(env, FieldOf(env, options, "key"), "key", &key) ||
        !ReadConfig(env, FieldOf(env, options, "config"), &config) ||
        !ReadNumber(env, options, "lane", 0, 255, 0, &lane)) {
      return;
    }
    Napi::Value on_verdicts(env, FieldOf(env, options, "onVerdicts"));
    Napi::Value on_event(env, FieldOf(env, options, "onEvent"));
    if (!on_verdicts.IsFunction()) {
      Napi::TypeError::New(env, "onVerdicts must be a function").ThrowAsJavaScriptException();
      return;
    }
    on_verdicts_ = Napi::Persistent(on_verdicts.As<Napi::Function>());
    if (on_event.IsFunction()) on_event_ = Napi::Persistent(on_event.As<Napi::Function>());
    rows_ = Napi::Persistent(Napi::Float64Array::New(env, kRowsPerCall * kColumns));
    rows_data_ = rows_.Value().Data();
    Start(env, key, config, static_cast<uint8_t>(lane));
  }

 private:
  void Start(Napi::Env env, const std::string& key, const kafka::Config& config, uint8_t holder) {
    link_ = KafkaLink::Open(env, "mq.kafka", [this](napi_env at) { OnRing(at); });
    if (link_ == nullptr) return;
    sink_ = std::make_shared<Sink>();
    sink_->link = link_;
    kafka::ProducerCore::Hold hold =
        kafka::ProducerCore::Acquire(key, config, holder, sink_.get());
    if (hold.core == nullptr) {
      link_->Close();
      const char* code = hold.is_busy ? "BACKEND_UNAVAILABLE" : nullptr;
      napi_throw_error(env, code, hold.error.c_str());
      return;
    }
    core_ = std::move(hold.core);
    lane_ = hold.lane;
    produce_ = std::make_unique<kafka::Produce>(core_, lane_);
    napi_add_env_cleanup_hook(env, AtEnd, this);
    // It lives until close() or the end of its thread, held or not.
    Ref();
  }

  static void AtEnd(void* self) {
    auto* producer = static_cast<KafkaProducer*>(self);
    if (!producer->closing_) producer->core_->Release(producer->lane_, {});
    producer->closing_ = true;
    producer->lane_->Detach();
    producer->link_->Close();
  }

  bool Refuse(const Napi::CallbackInfo& info) {
    if (core_ != nullptr && !closing_) return false;
    Napi::Error::New(info.Env(), "the producer is closed").ThrowAsJavaScriptException();
    return true;
  }

  void OnRing(napi_env env) {
    if (core_ == nullptr) return;
    const bool idle = lane_->Take(&mail_);
    HandVerdicts(env);
    for (const kafka::LaneEvent& event : mail_.events) HandEvent(env, event);
    mail_.events.clear();
    if (flushes_.empty() || !idle) return;
    std::vector<uint32_t> flushed;
    flushed.swap(flushes_);
    for (const uint32_t id : flushed) link_->SettleNow(env, id, MakeFlag(true));
  }

  void HandVerdicts(napi_env env) {
    size_t rows = 0;
    for (const int32_t topic : mail_.ready) {
      const double row[kColumns] = {static_cast<double>(topic), 0, 0, 0, -1, -1, 0};
      AddRow(env, row, &rows);
    }
    for (const kafka::VerdictRun& run : mail_.verdicts) {
      const double row[kColumns] = {static_cast<double>(run.topic),
                                    static_cast<double>(run.first),
                                    static_cast<double>(run.count),
                                    static_cast<double>(run.code),
                                    static_cast<double>(run.partition),
                                    static_cast<double>(run.base_offset),
                                    static_cast<double>(run.generation)};
      AddRow(env, row, &rows);
    }
    mail_.ready.clear();
    mail_.verdicts.clear();
    if (rows > 0) HandRows(env, rows);
  }

  void AddRow(napi_env env, const double* row, size_t* rows) {
    memcpy(rows_data_ + *rows * kColumns, row, kColumns * sizeof(double));
    if (++*rows < kRowsPerCall) return;
    HandRows(env, *rows);
    *rows = 0;
  }

  void HandRows(napi_env env, size_t rows) {
    Napi::HandleScope scope(env);
    const napi_value args[2] = {rows_.Value(),
                                Napi::Number::New(env, static_cast<double>(rows))};
    CallUp(env, on_verdicts_.Value(), 2, args);
  }

  void HandEvent(napi_env env, const kafka::LaneEvent& event) {
    if (on_event_.IsEmpty()) return;
    Napi::HandleScope scope(env);
    const char* kind = event.kind == kafka::LaneEvent::kFatal   ? "fatal"
                       : event.kind == kafka::LaneEvent::kError ? "error"
                                                                : "log";
    const napi_value args[3] = {Napi::String::New(env, kind), Napi::Number::New(env, event.code),
                                Napi::String::New(env, event.text)};
    CallUp(env, on_event_.Value(), 3, args);
  }

  void SetTopic(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (Refuse(info)) return;
    double id = 0;
    std::string name;
    if (napi_get_value_double(env, info[0], &id) != napi_ok || !(id >= 1 && id <= 65535)) {
      Napi::RangeError::New(env, "id must be 1 to 65535").ThrowAsJavaScriptException();
      return;
    }
    if (!ReadString(env, info[1], "name", &name)) return;
    int64_t bytes_max = 8 << 20;
    bool id_header = true;
    if (info[2].IsObject()) {
      if (!ReadNumber(env, info[2], "inFlightBytesPerPartitionMax", 1, int64_t{1} << 40,
                      bytes_max, &bytes_max)) {
        return;
      }
      napi_value flag = FieldOf(env, info[2], "idHeader");
      if (IsPresent(env, flag)) napi_get_value_bool(env, flag, &id_header);
    }
    if (!core_->SetTopic(static_cast<uint16_t>(id), name, bytes_max, id_header)) {
      Napi::Error::New(env, "the id names another topic").ThrowAsJavaScriptException();
    }
  }

  Napi::Value Produce(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (Refuse(info)) return Napi::Value();
    kafka::ProduceRequest request;
    if (!ReadProduceRequest(env, info[0], &request)) return Napi::Value();
    const kafka::ProduceOutcome outcome = produce_->Run(request);
    if (outcome.malformed) {
      Napi::RangeError::New(env, "payload and segments do not fit").ThrowAsJavaScriptException();
      return Napi::Value();
    }
    return ProduceResult(env, outcome);
  }

  Napi::Value PartitionCount(const Napi::CallbackInfo& info) {
    if (Refuse(info)) return Napi::Value();
    uint32_t id = 0;
    napi_get_value_uint32(info.Env(), info[0], &id);
    kafka::Topic* topic = core_->state().FindTopic(static_cast<uint16_t>(id));
    return Napi::Number::New(info.Env(), topic == nullptr ? 0 : topic->partitions.load());
  }

  Napi::Value LastAnswer(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (Refuse(info)) return Napi::Value();
    uint32_t id = 0;
    napi_get_value_uint32(env, info[0], &id);
    kafka::Topic* topic = core_->state().FindTopic(static_cast<uint16_t>(id));
    const int64_t answered_ms = topic == nullptr ? 0 : topic->answered_ms.load();
    if (answered_ms == 0) return env.Undefined();
    Napi::Object answer = Napi::Object::New(env);
    answer.Set("msAgo", static_cast<double>(kafka::SteadyMs() - answered_ms));
    answer.Set("code", topic->answered_code.load());
    return answer;
  }

  Napi::Value Metadata(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (Refuse(info)) return Napi::Value();
    if (!info[0].IsObject()) {
      Napi::TypeError::New(env, "options must be an object").ThrowAsJavaScriptException();
      return Napi::Value();
    }
    std::string topic;
    int64_t timeout_ms = 0;
    napi_value name = FieldOf(env, info[0], "topic");
    if (IsPresent(env, name) && !ReadString(env, name, "topic", &topic)) return Napi::Value();
    if (!ReadNumber(env, info[0], "timeoutMs", 1, kTimeMax, 5000, &timeout_ms)) {
      return Napi::Value();
    }
    uint32_t id = 0;
    napi_value promise = link_->NewPromise(env, &id);
    core_->AskMetadata(topic, static_cast<int>(timeout_ms),
                       [link = link_, id](int code, std::string error,
                                          kafka::ClusterMetadata metadata) {
                         if (code != 0) return link->Fail(id, code, std::move(error));
                         link->Settle(id, MakeMetadata(std::move(metadata)));
                       });
    return Napi::Value(env, promise);
  }

  Napi::Value Flush(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (Refuse(info)) return Napi::Value();
    double timeout_ms = 0;
    napi_get_value_double(env, info[0], &timeout_ms);
    uint32_t id = 0;
    napi_value promise = link_->NewPromise(env, &id);
    flushes_.push_back(id);
    // Nothing may be in flight, but verdicts may wait to be handed up before it is answered.
    link_->Ring();
    // A thread per flush: it is called at a drain, not per batch. Settled before, it does nothing.
    std::thread([link = link_, id, timeout_ms] {
      std::this_thread::sleep_for(std::chrono::milliseconds(static_cast<int64_t>(timeout_ms)));
      link->Settle(id, MakeFlag(false));
    }).detach();
    return Napi::Value(env, promise);
  }

  Napi::Value Renew(const Napi::CallbackInfo& info) {
    if (Refuse(info)) return Napi::Value();
    uint32_t of_generation = 0;
    napi_get_value_uint32(info.Env(), info[0], &of_generation);
    std::string error;
    const uint32_t generation = core_->Renew(of_generation, &error);
    if (generation == 0) {
      Napi::Error::New(info.Env(), error).ThrowAsJavaScriptException();
      return Napi::Value();
    }
    return Napi::Number::New(info.Env(), generation);
  }

  Napi::Value Health(const Napi::CallbackInfo& info) {
    if (Refuse(info)) return Napi::Value();
    const int64_t now_ms = kafka::SteadyMs();
    std::vector<double> rows;
    for (const kafka::Topic* topic : core_->state().Topics()) {
      const int64_t waiting_ms = topic->WaitingMs(now_ms);
      const int64_t confirmed = topic->confirmed.load(std::memory_order_relaxed);
      const int64_t failed = topic->failed.load(std::memory_order_relaxed);
      if (waiting_ms == 0 && confirmed == 0 && failed == 0) continue;
      rows.insert(rows.end(), {static_cast<double>(topic->id), static_cast<double>(waiting_ms),
                               static_cast<double>(confirmed), static_cast<double>(failed)});
    }
    Napi::Float64Array found = Napi::Float64Array::New(info.Env(), rows.size());
    std::copy(rows.begin(), rows.end(), found.Data());
    return found;
  }

  Napi::Value Generation(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), core_ == nullptr ? 0 : core_->generation());
  }

  Napi::Value Trouble(const Napi::CallbackInfo& info) {
    return Napi::String::New(info.Env(), core_ == nullptr ? "" : core_->state().Trouble());
  }

  Napi::Value InFlight(const Napi::CallbackInfo& info) {
    Napi::Object counters = Napi::Object::New(info.Env());
    int64_t messages = 0;
    int64_t bytes = 0;
    if (core_ != nullptr) {
      messages = std::max<int64_t>(0, lane_->messages.load());
      bytes = std::max<int64_t>(0, lane_->bytes.load());
    }
    counters.Set("messages", static_cast<double>(messages));
    counters.Set("bytes", static_cast<double>(bytes));
    return counters;
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (Refuse(info)) return Napi::Value();
    closing_ = true;
    uint32_t id = 0;
    napi_value promise = link_->NewPromise(env, &id);
    core_->Release(lane_, [link = link_, id, sink = sink_, self = this] {
      link->Settle(id, [self](napi_env at) { return self->Closed(at); });
    });
    return Napi::Value(env, promise);
  }

  napi_value Closed(napi_env env) {
    lane_->Detach();
    napi_remove_env_cleanup_hook(env, AtEnd, this);
    link_->FailAll(env, RD_KAFKA_RESP_ERR__DESTROY, "the producer is closed");
    link_->Close();
    Unref();
    return nullptr;
  }

  kafka::Lane* lane_ = nullptr;  // the core's
  bool closing_ = false;
  std::shared_ptr<KafkaLink> link_;
  std::shared_ptr<Sink> sink_;
  std::shared_ptr<kafka::ProducerCore> core_;
  std::unique_ptr<kafka::Produce> produce_;
  Napi::FunctionReference on_verdicts_;
  Napi::FunctionReference on_event_;
  Napi::Reference<Napi::Float64Array> rows_;
  double* rows_data_ = nullptr;
  kafka::LaneMail mail_;
  std::vector<uint32_t> flushes_;
};

const ModulePart kPart(&KafkaProducer::Init);

}  // namespace
}  // namespace mq

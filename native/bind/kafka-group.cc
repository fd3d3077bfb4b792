// KafkaGroup: a member of a consumer group. See src/native/kafka-group.ts.
#include <memory>
#include <string>
#include <unordered_map>

#include "bind/group-values.h"
#include "bind/kafka-fields.h"
#include "bind/kafka-link.h"
#include "kafka/group-consumer.h"
#include "kafka/system.h"
#include "napi/module.h"

namespace mq {
namespace {

constexpr int64_t kRevokeMsMax = 45'000;

class KafkaGroup : public Napi::ObjectWrap<KafkaGroup> {
 public:
  static void Init(Napi::Env env, Napi::Object exports) {
    kafka::PinLibrary();
    exports.Set("KafkaGroup", DefineClass(env, "KafkaGroup",
                                          {
                                              InstanceMethod<&KafkaGroup::SetTopics>("setTopics"),
                                              InstanceMethod<&KafkaGroup::Revoked>("revoked"),
                                              InstanceMethod<&KafkaGroup::Start>("start"),
                                              InstanceMethod<&KafkaGroup::Want>("want"),
                                              InstanceMethod<&KafkaGroup::Release>("release"),
                                              InstanceMethod<&KafkaGroup::Commit>("commit"),
                                              InstanceMethod<&KafkaGroup::Committed>("committed"),
                                              InstanceMethod<&KafkaGroup::Close>("close"),
                                          }));
  }

  explicit KafkaGroup(const Napi::CallbackInfo& info) : Napi::ObjectWrap<KafkaGroup>(info) {
    Napi::Env env = info.Env();
    if (info.Length() < 1 || !info[0].IsObject()) {
      Napi::TypeError::New(env, "options must be an object").ThrowAsJavaScriptException();
      return;
    }
    napi_value options = info[0];
    kafka::GroupSettings settings;
    int64_t batch_bytes = 0;
    if (!ReadConfig(env, FieldOf(env, options, "config"), &settings.config) ||
        !ReadString(env, FieldOf(env, options, "group"), "group", &settings.group) ||
        !ReadNames(env, FieldOf(env, options, "topics"), &settings.topics) ||
        !ReadNumber(env, options, "revokeTimeoutMs", 1, kRevokeMsMax, 10'000,
                    &settings.revoke_timeout_ms) ||
        !ReadNumber(env, options, "batchBytesMax", 1, 1 << 28, 1 << 20, &batch_bytes) ||
        !Keep(env, options, "onAssigned", &on_assigned_) ||
        !Keep(env, options, "onRevoking", &on_revoking_) ||
        !Keep(env, options, "onLost", &on_lost_) ||
        !Keep(env, options, "onRecords", &on_records_) ||
        !Keep(env, options, "onError", &on_error_)) {
      return;
    }
    settings.batch_bytes_max = static_cast<size_t>(batch_bytes);
    link_ = KafkaLink::Open(env, "mq.group", [this](napi_env at) { OnRing(at); });
    if (link_ == nullptr) return;
    std::string error;
    group_ = kafka::GroupConsumer::Open(std::move(settings), [link = link_] { link->Ring(); },
                                        &error);
    if (group_ == nullptr) {
      link_->Close();
      Napi::Error::New(env, error).ThrowAsJavaScriptException();
      return;
    }
    napi_add_env_cleanup_hook(env, AtEnd, this);
    // It lives until close() or the end of its thread, held or not.
    Ref();
  }

 private:
  static bool Keep(Napi::Env env, napi_value options, const char* name,
                   Napi::FunctionReference* kept) {
    Napi::Value value(env, FieldOf(env, options, name));
    if (!value.IsFunction()) {
      Napi::TypeError::New(env, std::string(name) + " must be a function")
          .ThrowAsJavaScriptException();
      return false;
    }
    *kept = Napi::Persistent(value.As<Napi::Function>());
    return true;
  }

  static void AtEnd(void* self) {
    auto* group = static_cast<KafkaGroup*>(self);
    group->group_->Abandon();
    group->group_.reset();
    group->link_->Close();
  }

  bool Refuse(const Napi::CallbackInfo& info) {
    if (group_ != nullptr && !closing_) return false;
    Napi::Error::New(info.Env(), "the group is closed").ThrowAsJavaScriptException();
    return true;
  }

  void OnRing(napi_env raw) {
    if (group_ == nullptr) return;
    Napi::Env env(raw);
    std::vector<kafka::GroupNote> notes;
    group_->TakeMail(&notes);
    for (kafka::GroupNote& note : notes) {
      Napi::HandleScope scope(env);
      Hand(env, &note);
    }
  }

  void Hand(Napi::Env env, kafka::GroupNote* note) {
    switch (note->kind) {
      case kafka::GroupNote::kAssigned:
        for (const kafka::Place& place : note->places) epochs_.emplace(KeyOf(place), 0);
        return CallPlaces(env, on_assigned_, note->places);
      case kafka::GroupNote::kRevoking:
        // What was packed before it is not given any more.
        for (const kafka::Place& place : note->places) epochs_.erase(KeyOf(place));
        return CallPlaces(env, on_revoking_, note->places, note->code);
      case kafka::GroupNote::kLost:
        for (const kafka::Place& place : note->places) epochs_.erase(KeyOf(place));
        return CallPlaces(env, on_lost_, note->places);
      case kafka::GroupNote::kRecords:
        return HandRecords(env, &note->batch);
      case kafka::GroupNote::kError:
        return HandError(env, *note);
    }
  }

  static std::string KeyOf(const kafka::Place& place) {
    return kafka::KeyOf(place.topic, place.partition);
  }

  void CallPlaces(Napi::Env env, const Napi::FunctionReference& to,
                  const std::vector<kafka::Place>& places, int serial = 0) {
    const napi_value args[2] = {MakePlaces(env, places), Napi::Number::New(env, serial)};
    CallUp(env, to.Value(), 2, args);
  }

  void HandRecords(Napi::Env env, kafka::GroupBatch* batch) {
    auto found = epochs_.find(KeyOf(batch->place));
    if (found == epochs_.end() || found->second != batch->epoch) return;
    const napi_value args[1] = {MakeBatch(env, batch)};
    CallUp(env, on_records_.Value(), 1, args);
  }

  void HandError(Napi::Env env, const kafka::GroupNote& note) {
    if (!note.places.empty()) {
      auto found = epochs_.find(KeyOf(note.places[0]));
      if (found == epochs_.end() || found->second != note.epoch) return;
    }
    const napi_value args[3] = {Napi::Number::New(env, note.code),
                                Napi::String::New(env, note.text),
                                MakePlaces(env, note.places)};
    CallUp(env, on_error_.Value(), 3, args);
  }

  void SetTopics(const Napi::CallbackInfo& info) {
    if (Refuse(info)) return;
    std::vector<std::string> topics;
    if (ReadNames(info.Env(), info[0], &topics)) group_->SetTopics(std::move(topics));
  }

  void Revoked(const Napi::CallbackInfo& info) {
    // Also while it is being closed: that is when it is asked.
    int32_t serial = 0;
    napi_get_value_int32(info.Env(), info[0], &serial);
    if (group_ != nullptr) group_->Revoked(serial);
  }

  void Start(const Napi::CallbackInfo& info) {
    if (Refuse(info)) return;
    kafka::Place place;
    uint64_t offset = 0;
    if (!ReadPlace(info, &place) || !ReadIndex(info.Env(), info[2], "offset", &offset)) return;
    auto found = epochs_.find(KeyOf(place));
    if (found == epochs_.end()) return;
    found->second = ++last_epoch_;
    group_->Start(std::move(place), found->second, static_cast<int64_t>(offset));
  }

  void Want(const Napi::CallbackInfo& info) {
    if (Refuse(info)) return;
    kafka::Place place;
    uint64_t bytes = 0;
    if (!ReadPlace(info, &place) || !ReadIndex(info.Env(), info[2], "bytes", &bytes)) return;
    auto found = epochs_.find(KeyOf(place));
    if (found == epochs_.end() || found->second == 0) return;
    group_->Want(std::move(place), found->second, static_cast<int64_t>(bytes));
  }

  void Release(const Napi::CallbackInfo& info) {
    // Detached memory is freed by the next turn, and the collector is not told of it: otherwise it
    // runs for every 64 MiB of payload, with all its threads.
    if (info[0].IsTypedArray()) info[0].As<Napi::TypedArray>().ArrayBuffer().Detach();
  }

  Napi::Value Commit(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (group_ == nullptr) return Rejected(env);
    std::vector<kafka::GroupOffset> offsets;
    if (!ReadOffsets(env, info[0], &offsets)) return Napi::Value();
    bool foreign = false;
    napi_get_value_bool(env, info[1], &foreign);
    uint32_t id = 0;
    napi_value promise = link_->NewPromise(env, &id);
    group_->Commit(std::move(offsets), foreign, [link = link_, id](int code, std::string error) {
      if (code != 0) return link->Fail(id, code, std::move(error));
      link->Settle(id, {});
    });
    return Napi::Value(env, promise);
  }

  Napi::Value Committed(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (group_ == nullptr) return Rejected(env);
    std::vector<kafka::Place> places;
    if (!ReadPlaces(env, info[0], &places)) return Napi::Value();
    uint32_t id = 0;
    napi_value promise = link_->NewPromise(env, &id);
    group_->Committed(std::move(places), [link = link_, id](
                                             int code, std::string error,
                                             std::vector<kafka::GroupOffset> offsets) {
      if (code != 0) return link->Fail(id, code, std::move(error));
      auto held = std::make_shared<std::vector<kafka::GroupOffset>>(std::move(offsets));
      link->Settle(id, [held](napi_env at) { return MakeOffsets(at, *held); });
    });
    return Napi::Value(env, promise);
  }

  Napi::Value Rejected(Napi::Env env) {
    auto deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(Napi::Value(
        env, KafkaFailure(env, RD_KAFKA_RESP_ERR__DESTROY, "the group is closed")));
    return deferred.Promise();
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (Refuse(info)) return Napi::Value();
    closing_ = true;
    uint32_t id = 0;
    napi_value promise = link_->NewPromise(env, &id);
    group_->Close([link = link_, id, self = this] {
      link->Settle(id, [self](napi_env at) { return self->Closed(at); });
    });
    return Napi::Value(env, promise);
  }

  napi_value Closed(napi_env env) {
    napi_remove_env_cleanup_hook(env, AtEnd, this);
    group_.reset();
    link_->FailAll(env, RD_KAFKA_RESP_ERR__DESTROY, "the group is closed");
    link_->Close();
    Unref();
    return nullptr;
  }

  bool closing_ = false;
  std::shared_ptr<KafkaLink> link_;
  std::shared_ptr<kafka::GroupConsumer> group_;
  Napi::FunctionReference on_assigned_;
  Napi::FunctionReference on_revoking_;
  Napi::FunctionReference on_lost_;
  Napi::FunctionReference on_records_;
  Napi::FunctionReference on_error_;
  /// Of each partition that is the member's: its last start, 0 before the first.
  std::unordered_map<std::string, uint32_t> epochs_;
  uint32_t last_epoch_ = 0;
};

const ModulePart kPart(&KafkaGroup::Init);

}  // namespace
}  // namespace mq

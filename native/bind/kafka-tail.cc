// KafkaTail: reads of partitions without a group. See src/native/kafka.ts.
#include <memory>
#include <string>

#include "bind/index-values.h"
#include "bind/kafka-fields.h"
#include "bind/kafka-link.h"
#include "kafka/system.h"
#include "kafka/tail-reader.h"
#include "napi/module.h"

namespace mq {
namespace {

constexpr int64_t kWaitMsMax = 24 * 3600 * 1000;
constexpr int64_t kOffsetMax = 9007199254740991;
constexpr int64_t kBytesMax = 1 << 30;

napi_value AnswerValue(napi_env raw, const std::shared_ptr<kafka::TailAnswer>& answer,
                       bool with_records) {
  Napi::Env env(raw);
  Napi::Object value = Napi::Object::New(env);
  value.Set("startOffset", static_cast<double>(answer->start));
  value.Set("endOffset", static_cast<double>(answer->end));
  if (!with_records) return value;
  value.Set("nextOffset", static_cast<double>(answer->next));
  value.Set("count", answer->count);
  value.Set("records", MakeRecords(env, std::move(answer->records)));
  return value;
}

class KafkaTail : public Napi::ObjectWrap<KafkaTail> {
 public:
  static void Init(Napi::Env env, Napi::Object exports) {
    kafka::PinLibrary();
    exports.Set("KafkaTail", DefineClass(env, "KafkaTail",
                                         {
                                             InstanceMethod<&KafkaTail::Read>("read"),
                                             InstanceMethod<&KafkaTail::Offsets>("offsets"),
                                             InstanceMethod<&KafkaTail::Close>("close"),
                                         }));
  }

  explicit KafkaTail(const Napi::CallbackInfo& info) : Napi::ObjectWrap<KafkaTail>(info) {
    Napi::Env env = info.Env();
    if (info.Length() < 1 || !info[0].IsObject()) {
      Napi::TypeError::New(env, "options must be an object").ThrowAsJavaScriptException();
      return;
    }
    std::map<std::string, std::string> config;
    int64_t cursors_max = 0;
    if (!ReadConfig(env, FieldOf(env, info[0], "config"), &config) ||
        !ReadNumber(env, info[0], "cursorsMax", 1, 65536, 64, &cursors_max)) {
      return;
    }
    link_ = KafkaLink::Open(env, "mq.tail", [](napi_env) {});
    if (link_ == nullptr) return;
    std::string error;
    reader_ = kafka::TailReader::Open(config, static_cast<size_t>(cursors_max), &error);
    if (reader_ == nullptr) {
      link_->Close();
      Napi::Error::New(env, error).ThrowAsJavaScriptException();
      return;
    }
    napi_add_env_cleanup_hook(env, AtEnd, this);
    // It lives until close() or the end of its thread, held or not.
    Ref();
  }

 private:
  static void AtEnd(void* self) {
    auto* tail = static_cast<KafkaTail*>(self);
    // Its threads hold it too; the last of them destroys it, not this one.
    if (!tail->closing_) tail->reader_->Close({});
    tail->reader_.reset();
    tail->closing_ = true;
    tail->link_->Close();
  }

  bool Refuse(const Napi::CallbackInfo& info) {
    if (reader_ != nullptr && !closing_) {
      if (info.Length() > 0 && info[0].IsObject()) return false;
      Napi::TypeError::New(info.Env(), "an object is needed").ThrowAsJavaScriptException();
      return true;
    }
    Napi::Error::New(info.Env(), "the reader is closed").ThrowAsJavaScriptException();
    return true;
  }

  Napi::Value Start(const Napi::CallbackInfo& info, std::unique_ptr<kafka::TailRead> read) {
    Napi::Env env = info.Env();
    int64_t partition = 0;
    if (!ReadString(env, FieldOf(env, info[0], "topic"), "topic", &read->topic) ||
        !ReadNumber(env, info[0], "partition", 0, INT32_MAX, 0, &partition)) {
      return Napi::Value();
    }
    read->partition = static_cast<int32_t>(partition);
    uint32_t id = 0;
    napi_value promise = link_->NewPromise(env, &id);
    const bool with_records = !read->offsets_only;
    read->done = [link = link_, id, with_records](kafka::TailAnswer answer) {
      if (answer.code != 0) return link->Fail(id, answer.code, std::move(answer.error));
      auto held = std::make_shared<kafka::TailAnswer>(std::move(answer));
      link->Settle(id, [held, with_records](napi_env at) {
        return AnswerValue(at, held, with_records);
      });
    };
    reader_->Read(std::move(read));
    return Napi::Value(env, promise);
  }

  Napi::Value Read(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (Refuse(info)) return Napi::Value();
    auto read = std::make_unique<kafka::TailRead>();
    int64_t from = 0;
    int64_t bytes_max = 0;
    if (!ReadNumber(env, info[0], "from", 0, 3, 0, &from) ||
        !ReadNumber(env, info[0], "position", 0, kOffsetMax, 0, &read->position) ||
        !ReadNumber(env, info[0], "bytesMax", 0, kBytesMax, 1 << 20, &bytes_max) ||
        !ReadNumber(env, info[0], "waitMs", 0, kWaitMsMax, 0, &read->wait_ms)) {
      return Napi::Value();
    }
    read->from = static_cast<kafka::TailFrom>(from);
    read->bytes_max = static_cast<size_t>(bytes_max);
    return Start(info, std::move(read));
  }

  Napi::Value Offsets(const Napi::CallbackInfo& info) {
    if (Refuse(info)) return Napi::Value();
    auto read = std::make_unique<kafka::TailRead>();
    int64_t timeout_ms = 0;
    if (!ReadNumber(info.Env(), info[0], "timeoutMs", 1, kWaitMsMax, 5000, &timeout_ms)) {
      return Napi::Value();
    }
    read->offsets_only = true;
    read->ask_timeout_ms = static_cast<int>(timeout_ms);
    return Start(info, std::move(read));
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (reader_ == nullptr || closing_) {
      Napi::Error::New(env, "the reader is closed").ThrowAsJavaScriptException();
      return Napi::Value();
    }
    closing_ = true;
    uint32_t id = 0;
    napi_value promise = link_->NewPromise(env, &id);
    reader_->Close([link = link_, id, self = this] {
      link->Settle(id, [self](napi_env at) { return self->Closed(at); });
    });
    reader_.reset();
    return Napi::Value(env, promise);
  }

  napi_value Closed(napi_env env) {
    napi_remove_env_cleanup_hook(env, AtEnd, this);
    link_->FailAll(env, RD_KAFKA_RESP_ERR__DESTROY, "the reader is closed");
    link_->Close();
    Unref();
    return nullptr;
  }

  bool closing_ = false;
  std::shared_ptr<KafkaLink> link_;
  std::shared_ptr<kafka::TailReader> reader_;
};

const ModulePart kPart(&KafkaTail::Init);

}  // namespace
}  // namespace mq

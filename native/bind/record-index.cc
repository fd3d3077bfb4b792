// indexRecords: see src/native/record-index.ts.
#include "bind/index-values.h"
#include "napi/args.h"
#include "napi/module.h"

namespace mq {
namespace {

Napi::Value IndexRecords(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  BytesView records;
  if (!ReadBytes(env, info[0], "records", &records)) return Napi::Value();
  RecordIndex index;
  if (records.length > UINT32_MAX || !index_records(records.data, records.length, &index)) {
    Napi::RangeError::New(env, "the records do not end where they should")
        .ThrowAsJavaScriptException();
    return Napi::Value();
  }
  Napi::Object result = Napi::Object::New(env);
  SetIndex(env, result, index);
  return result;
}

void Init(Napi::Env env, Napi::Object exports) {
  exports.Set("indexRecords", Napi::Function::New<IndexRecords>(env, "indexRecords"));
}

const ModulePart kPart(&Init);

}  // namespace
}  // namespace mq

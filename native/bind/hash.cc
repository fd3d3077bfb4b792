// crc32c, murmur2 and partitionOf.
#include "core/crc32c.h"
#include "core/murmur2.h"
#include "napi/args.h"
#include "napi/module.h"

namespace mq {
namespace {

napi_value Undefined() { return nullptr; }

napi_value MakeUint32(napi_env env, uint32_t value) {
  napi_value result = nullptr;
  napi_create_uint32(env, value, &result);
  return result;
}

napi_value Crc32c(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  size_t argc = 2;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  BytesView bytes;
  if (!ReadBytes(env, argv[0], "bytes", &bytes)) return Undefined();
  uint32_t seed = 0;
  napi_valuetype type = napi_undefined;
  if (argc > 1) napi_typeof(env, argv[1], &type);
  if (type != napi_undefined && napi_get_value_uint32(env, argv[1], &seed) != napi_ok) {
    napi_throw_type_error(env, nullptr, "seed must be a number");
    return Undefined();
  }
  return MakeUint32(env, crc32c(bytes.data, bytes.length, seed));
}

napi_value Murmur2(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  size_t argc = 1;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  BytesView key;
  if (!ReadBytes(env, argv[0], "key", &key)) return Undefined();
  return MakeUint32(env, murmur2(key.data, key.length));
}

napi_value PartitionOf(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  size_t argc = 2;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  BytesView key;
  uint64_t partitions = 0;
  if (!ReadBytes(env, argv[0], "key", &key)) return Undefined();
  if (!ReadIndex(env, argv[1], "partitions", &partitions)) return Undefined();
  if (partitions == 0 || partitions > 0x7fffffff) {
    napi_throw_range_error(env, nullptr, "partitions must be from 1 to 2147483647");
    return Undefined();
  }
  return MakeUint32(env, partition_of(key.data, key.length, static_cast<uint32_t>(partitions)));
}

void Export(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

void Init(Napi::Env env, Napi::Object exports) {
  Export(env, exports, "crc32c", Crc32c);
  Export(env, exports, "murmur2", Murmur2);
  Export(env, exports, "partitionOf", PartitionOf);
}

const ModulePart kPart(&Init);

}  // namespace
}  // namespace mq

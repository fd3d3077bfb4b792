// Reading arguments. Each function leaves a pending JavaScript exception and answers false (or an
// empty view) when the argument is not what it must be: the caller then returns at once.
#pragma once

#include <napi.h>

#include <cstdint>

namespace mq {

struct BytesView {
  uint8_t* data = nullptr;
  size_t length = 0;
};

/// A Uint8Array or Buffer, also over a SharedArrayBuffer. The view is borrowed: valid while the
/// array is alive.
inline bool ReadBytes(Napi::Env env, napi_value value, const char* name, BytesView* out) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  napi_status status =
      napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr);
  if (status != napi_ok || type != napi_uint8_array) {
    Napi::TypeError::New(env, std::string(name) + " must be a Uint8Array")
        .ThrowAsJavaScriptException();
    return false;
  }
  out->data = static_cast<uint8_t*>(data);
  out->length = length;
  return true;
}

/// A typed array of one type, as pointer and element count.
template <typename T>
bool ReadArray(Napi::Env env, napi_value value, napi_typedarray_type wanted, const char* name,
               const T** data, size_t* length) {
  napi_typedarray_type type;
  void* raw = nullptr;
  napi_status status =
      napi_get_typedarray_info(env, value, &type, length, &raw, nullptr, nullptr);
  if (status != napi_ok || type != wanted) {
    Napi::TypeError::New(env, std::string(name) + " is a typed array of another type")
        .ThrowAsJavaScriptException();
    return false;
  }
  *data = static_cast<const T*>(raw);
  return true;
}

/// A whole number from 0 to 2^53-1.
inline bool ReadIndex(Napi::Env env, napi_value value, const char* name, uint64_t* out) {
  double number = -1;
  if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= 0) ||
      number > 9007199254740991.0 || number != static_cast<double>(static_cast<uint64_t>(number))) {
    Napi::RangeError::New(env, std::string(name) + " must be a whole number from 0")
        .ThrowAsJavaScriptException();
    return false;
  }
  *out = static_cast<uint64_t>(number);
  return true;
}

}  // namespace mq

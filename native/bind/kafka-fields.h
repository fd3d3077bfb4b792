// Reading the fields of option objects. Each function leaves a pending JavaScript exception and
// answers false when a field is not what it must be.
#pragma once

#include <napi.h>

#include <map>
#include <string>

#include "napi/args.h"

namespace mq {

inline napi_value FieldOf(napi_env env, napi_value object, const char* name) {
  napi_value value = nullptr;
  if (napi_get_named_property(env, object, name, &value) != napi_ok) return nullptr;
  return value;
}

inline bool IsPresent(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  if (value != nullptr) napi_typeof(env, value, &type);
  return type != napi_undefined && type != napi_null;
}

inline bool ReadString(Napi::Env env, napi_value value, const char* name, std::string* out) {
  napi_valuetype type = napi_undefined;
  if (value != nullptr) napi_typeof(env, value, &type);
  if (type != napi_string) {
    Napi::TypeError::New(env, std::string(name) + " must be a string").ThrowAsJavaScriptException();
    return false;
  }
  *out = Napi::String(env, value).Utf8Value();
  return true;
}

/// A whole number in [min, max]; absent = `fallback`.
inline bool ReadNumber(Napi::Env env, napi_value object, const char* name, int64_t min,
                       int64_t max, int64_t fallback, int64_t* out) {
  napi_value value = FieldOf(env, object, name);
  if (!IsPresent(env, value)) {
    *out = fallback;
    return true;
  }
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok ||
      !(number >= static_cast<double>(min) && number <= static_cast<double>(max)) ||
      number != static_cast<double>(static_cast<int64_t>(number))) {
    Napi::RangeError::New(env, std::string(name) + " must be a whole number from " +
                                   std::to_string(min) + " to " + std::to_string(max))
        .ThrowAsJavaScriptException();
    return false;
  }
  *out = static_cast<int64_t>(number);
  return true;
}

/// An object of strings.
inline bool ReadConfig(Napi::Env env, napi_value value, std::map<std::string, std::string>* out) {
  if (value == nullptr || !Napi::Value(env, value).IsObject()) {
    Napi::TypeError::New(env, "config must be an object").ThrowAsJavaScriptException();
    return false;
  }
  Napi::Object object(env, value);
  Napi::Array names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); i++) {
    const std::string name = names.Get(i).As<Napi::String>().Utf8Value();
    std::string text;
    if (!ReadString(env, object.Get(name), ("config." + name).c_str(), &text)) return false;
    (*out)[name] = text;
  }
  return true;
}

}  // namespace mq

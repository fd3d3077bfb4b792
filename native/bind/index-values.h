// A record index as the typed arrays of a JavaScript object.
#pragma once

#include <napi.h>

#include <cstring>

#include "core/record-index.h"

namespace mq {

/// Sets count, starts, offsets and keyHashes; each array is alone in its memory.
inline void SetIndex(Napi::Env env, Napi::Object object, const RecordIndex& index) {
  const size_t count = index.offsets.size();
  auto starts = Napi::Uint32Array::New(env, count + 1);
  auto offsets = Napi::Float64Array::New(env, count);
  auto hashes = Napi::Uint32Array::New(env, count);
  memcpy(starts.Data(), index.starts.data(), (count + 1) * sizeof(uint32_t));
  if (count > 0) {
    memcpy(offsets.Data(), index.offsets.data(), count * sizeof(double));
    memcpy(hashes.Data(), index.key_hashes.data(), count * sizeof(uint32_t));
  }
  object.Set("count", static_cast<double>(count));
  object.Set("starts", starts);
  object.Set("offsets", offsets);
  object.Set("keyHashes", hashes);
}

}  // namespace mq

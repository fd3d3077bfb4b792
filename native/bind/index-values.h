// Records and their index as what JavaScript reads.
#pragma once

#include <napi.h>

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "core/record-index.h"

namespace mq {

/// Records as a Buffer over their own memory. Of none the memory has no address, and what is made of
/// that is detached from the start: no view of it can be made.
inline Napi::Value MakeRecords(Napi::Env env, std::vector<uint8_t> records) {
  if (records.empty()) return Napi::Buffer<uint8_t>::New(env, 0);
  auto* held = new std::vector<uint8_t>(std::move(records));
  return Napi::Buffer<uint8_t>::New(
      env, held->data(), held->size(),
      [](Napi::Env, uint8_t*, std::vector<uint8_t>* of) { delete of; }, held);
}

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

// A group consumer's structures to and from JavaScript.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "kafka/group-mail.h"

namespace mq {

/// [{topic, partition}, …]
napi_value MakePlaces(Napi::Env env, const std::vector<kafka::Place>& places);
/// [{topic, partition, offset, metadata}, …]; offset is undefined where there is none.
napi_value MakeOffsets(Napi::Env env, const std::vector<kafka::GroupOffset>& offsets);
/// {topic, partition, records, count, starts, offsets, keyHashes, nextOffset, endOffset}
napi_value MakeBatch(Napi::Env env, kafka::GroupBatch* batch);

/// False with a pending exception.
bool ReadNames(Napi::Env env, napi_value value, std::vector<std::string>* names);
bool ReadPlaces(Napi::Env env, napi_value value, std::vector<kafka::Place>* places);
/// `[{topic, partition, offset, metadata}]`.
bool ReadOffsets(Napi::Env env, napi_value value, std::vector<kafka::GroupOffset>* offsets);
/// A topic and a partition as two arguments.
bool ReadPlace(const Napi::CallbackInfo& info, kafka::Place* place);

}  // namespace mq

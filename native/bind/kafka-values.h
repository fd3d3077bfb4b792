// The producer's structures to and from JavaScript.
#pragma once

#include "bind/kafka-link.h"
#include "kafka/produce.h"

namespace mq {

MakeValue MakeFlag(bool flag);
MakeValue MakeMetadata(kafka::ClusterMetadata metadata);

/// Borrowed views; false with a pending exception.
bool ReadProduceRequest(Napi::Env env, napi_value value, kafka::ProduceRequest* request);
Napi::Value ProduceResult(Napi::Env env, const kafka::ProduceOutcome& outcome);

}  // namespace mq

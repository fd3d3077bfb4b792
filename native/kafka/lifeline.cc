#include "kafka/lifeline.h"

#include <algorithm>

#include "kafka/system.h"

namespace mq::kafka {
namespace {

/// Between two looks, and from the doubt to the first.
constexpr int64_t kLookMs = 1'000;
/// Between two attempts, from short to long: librdkafka keeps each list of servers that it is
/// given, some 30 bytes.
constexpr int64_t kPauseFirstMs = 1'000;
constexpr int64_t kPauseMaxMs = 10'000;

/// Asks without waiting for the answer: what is told is whether anybody could be asked.
bool IsAnyUp(rd_kafka_t* rk) {
  const struct rd_kafka_metadata* raw = nullptr;
  const rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, nullptr, &raw, 0);
  if (raw != nullptr) rd_kafka_metadata_destroy(raw);
  return code != RD_KAFKA_RESP_ERR__TRANSPORT;
}

std::string ServersOf(const Config& config) {
  const auto found = config.find("bootstrap.servers");
  return found == config.end() ? "" : found->second;
}

}  // namespace

Lifeline::Lifeline(rd_kafka_t* rk, const Config& config) : rk_(rk), servers_(ServersOf(config)) {}

void Lifeline::Look() {
  if (!in_doubt()) return;
  const int64_t now_ms = SteadyMs();
  if (look_ms_ == 0) look_ms_ = add_ms_ = now_ms + kLookMs;
  if (now_ms < look_ms_) return;
  if (IsAnyUp(rk_)) {
    look_ms_ = pause_ms_ = 0;
    in_doubt_.store(false, std::memory_order_relaxed);
    return;
  }
  look_ms_ = now_ms + kLookMs;
  if (now_ms < add_ms_) return;
  rd_kafka_brokers_add(rk_, servers_.c_str());
  pause_ms_ = std::clamp(2 * pause_ms_, kPauseFirstMs, kPauseMaxMs);
  add_ms_ = now_ms + pause_ms_;
}

}  // namespace mq::kafka

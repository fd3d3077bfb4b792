#include "direct/producer.h"

#include <time.h>

#include "core/bytes.h"
#include "core/murmur2.h"
#include "kafka/config.h"

namespace mq::direct {
namespace {

constexpr size_t kSenders = 64;
constexpr size_t kReportsPerRead = 512;
constexpr int kOpenTimeoutMs = 10000;
// [P-8.1] without a due time.
constexpr size_t kIdHeaderBytes = 34;

// What the node gives its producer (src/native/kafka.ts), so that both are the same client.
constexpr const char* kSettings[][2] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"message.timeout.ms", "0"},
    {"socket.timeout.ms", "6000"},
    {"request.timeout.ms", "2000"},
    {"reconnect.backoff.max.ms", "1000"},
    {"allow.auto.create.topics", "false"},
    {"linger.ms", "0"},
    {"queue.buffering.max.kbytes", "65536"},
    {"queue.buffering.max.messages", "1000000"},
    // Its warnings would stand beside the one line of JSON.
    {"log_level", "3"},
};

uint64_t WallMs() {
  timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  return static_cast<uint64_t>(ts.tv_sec) * 1000 + static_cast<uint64_t>(ts.tv_nsec) / 1000000;
}

}  // namespace

Producer::Producer(const Options& options, loadgen::Totals* totals)
    : options_(options), totals_(totals), reports_(kReportsPerRead) {
  for (size_t i = 0; i < kSenders; i++) {
    senders_.push_back({loadgen::MessageMaker(options.size, options.keys, i + 1), 1});
  }
}

Producer::~Producer() {
  if (queue_ != nullptr) rd_kafka_queue_destroy(queue_);
  if (topic_ != nullptr) rd_kafka_topic_destroy(topic_);
  if (rk_ != nullptr) rd_kafka_destroy(rk_);
}

bool Producer::Open(std::string* error) {
  kafka::Config config{{"bootstrap.servers", options_.brokers}};
  for (const auto& [name, value] : kSettings) config[name] = value;
  for (const auto& [name, value] : options_.settings) config[name] = value;
  rd_kafka_conf_t* conf = kafka::ConfOf(config, error);
  if (conf == nullptr) return false;
  rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR);
  rk_ = kafka::NewClient(RD_KAFKA_PRODUCER, conf, error);
  if (rk_ == nullptr) return false;
  queue_ = rd_kafka_queue_get_main(rk_);
  topic_ = rd_kafka_topic_new(rk_, options_.topic.c_str(), nullptr);
  const rd_kafka_metadata_t* metadata = nullptr;
  rd_kafka_resp_err_t code = rd_kafka_metadata(rk_, 0, topic_, &metadata, kOpenTimeoutMs);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
    const rd_kafka_metadata_topic_t& found = metadata->topics[0];
    code = found.err;
    partitions_ = static_cast<uint32_t>(found.partition_cnt);
    rd_kafka_metadata_destroy(metadata);
  }
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR && partitions_ > 0) return true;
  *error = "topic " + options_.topic + " at " + options_.brokers + ": " + rd_kafka_err2str(code);
  return false;
}

rd_kafka_headers_t* Producer::HeadersOf(const Sender& sender, size_t index) const {
  uint8_t id[kIdHeaderBytes] = {1, 0};
  store_be64(id + 2, 0x1000 + index);  // producer
  store_be16(id + 10, 0);              // epoch
  store_be48(id + 12, sender.sequence);
  store_be64(id + 18, 1);  // origin node
  store_be64(id + 26, WallMs());
  rd_kafka_headers_t* headers = rd_kafka_headers_new(1);
  rd_kafka_header_add(headers, "mq", 2, id, sizeof id);
  return headers;
}

bool Producer::Produce(uint64_t intended) {
  Sender& sender = senders_[turn_];
  uint8_t key[loadgen::MessageMaker::kKeyBytes];
  if (sender.maker.keyed()) sender.maker.PutKey(key);
  const size_t key_bytes = sender.maker.keyed() ? sizeof key : 0;
  const uint32_t partition = sender.maker.keyed()
                                 ? partition_of(key, sizeof key, partitions_)
                                 : static_cast<uint32_t>(turn_) % partitions_;
  rd_kafka_headers_t* headers = options_.id_header ? HeadersOf(sender, turn_) : nullptr;
  const std::vector<uint8_t>& value = sender.maker.value();
  rd_kafka_vu_t args[7];
  args[0].vtype = RD_KAFKA_VTYPE_RKT;
  args[0].u.rkt = topic_;
  args[1].vtype = RD_KAFKA_VTYPE_PARTITION;
  args[1].u.i32 = static_cast<int32_t>(partition);
  args[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  args[2].u.i = RD_KAFKA_MSG_F_COPY;
  args[3].vtype = RD_KAFKA_VTYPE_VALUE;
  args[3].u.mem.ptr = const_cast<uint8_t*>(value.data());
  args[3].u.mem.size = value.size();
  args[4].vtype = RD_KAFKA_VTYPE_KEY;
  args[4].u.mem.ptr = key_bytes > 0 ? key : nullptr;
  args[4].u.mem.size = key_bytes;
  args[5].vtype = RD_KAFKA_VTYPE_OPAQUE;
  args[5].u.ptr = reinterpret_cast<void*>(intended);
  args[6].vtype = RD_KAFKA_VTYPE_HEADERS;
  args[6].u.headers = headers;
  rd_kafka_error_t* error = rd_kafka_produceva(rk_, args, headers == nullptr ? 6 : 7);
  if (error != nullptr) {
    const rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    if (headers != nullptr) rd_kafka_headers_destroy(headers);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) return false;
    totals_->failed[code]++;
  } else {
    outstanding_++;
  }
  sender.sequence++;
  totals_->sent++;
  turn_ = (turn_ + 1) % kSenders;
  return true;
}

void Producer::TakeReports(int wait_ms) {
  for (;;) {
    rd_kafka_event_t* event = rd_kafka_queue_poll(queue_, wait_ms);
    if (event == nullptr) return;
    wait_ms = 0;
    const uint64_t now = loadgen::NowNanos();
    for (;;) {
      const size_t n = rd_kafka_event_message_array(event, reports_.data(), reports_.size());
      if (n == 0) break;
      outstanding_ -= static_cast<int>(n);
      for (size_t i = 0; i < n; i++) {
        const rd_kafka_message_t* report = reports_[i];
        if (report->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
          totals_->failed[report->err]++;
          continue;
        }
        totals_->Answered(reinterpret_cast<uint64_t>(report->_private), now);
      }
    }
    rd_kafka_event_destroy(event);
  }
}

}  // namespace mq::direct

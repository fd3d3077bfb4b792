#include "direct/options.h"

#include <cstring>

#include "load/flags.h"

namespace mq::direct {

Options ParseOptions(int argc, char** argv) {
  Options o;
  loadgen::Flags flags("mq_direct", "the load of mq_load, straight into Kafka with librdkafka");
  flags.Text("--brokers", &o.brokers, "HOST:PORT,… of Kafka");
  flags.Text("--topic", &o.topic, "a topic that exists");
  flags.Count("--in-flight", &o.in_flight, 1, 1000000, "messages without a report, 1 to 1000000");
  flags.Count("--size", &o.size, 0, 1 << 26, "bytes of a value");
  flags.Real("--duration", &o.duration, "seconds that are counted");
  flags.Real("--warmup", &o.warmup, "seconds before, not counted");
  flags.Real("--rate", &o.rate, "messages a second; 0 is the closed loop");
  flags.Count("--keys", &o.keys, 0, 9999999, "distinct keys; 0 is no key");
  flags.Count("--count", &o.count, 0, 2000000000, "messages to send; 0 is by time");
  flags.Real("--drain", &o.drain, "seconds to wait for reports at the end");
  flags.Choice("--id-header", &o.id_header, "off", "on", "the header mq: on or off");
  flags.Add("--set", "NAME=VALUE of librdkafka, repeatable", "as the node's", [&o](const char* text) {
    const char* equals = std::strchr(text, '=');
    if (equals == nullptr) return false;
    o.settings.emplace_back(std::string(text, equals), equals + 1);
    return true;
  });
  flags.Parse(argc, argv);
  return o;
}

}  // namespace mq::direct

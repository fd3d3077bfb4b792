#include "load/options.h"

#include "load/flags.h"

namespace mq::loadgen {

Options ParseOptions(int argc, char** argv) {
  Options o;
  Flags flags("mq_load", "produces to a node over MQP and prints one JSON object");
  flags.Text("--host", &o.host, "an IPv4 address");
  flags.Count("--port", &o.port, 1, 65535, "1 to 65535");
  flags.Text("--topic", &o.topic, "the topic to fill");
  flags.Count("--connections", &o.connections, 1, 60000, "connections, 1 to 60000");
  flags.Count("--in-flight", &o.in_flight, 1, 65536, "unanswered per connection, 1 to 65536");
  flags.Count("--size", &o.size, 0, 1 << 26, "bytes of a value");
  flags.Real("--duration", &o.duration, "seconds that are counted");
  flags.Real("--warmup", &o.warmup, "seconds before, not counted");
  flags.Real("--rate", &o.rate, "messages a second in all; 0 is the closed loop");
  flags.Choice("--ack", &o.replicated, "stored", "replicated", "stored or replicated");
  flags.Count("--keys", &o.keys, 0, 9999999, "distinct keys; 0 is no key");
  flags.Count("--batch", &o.batch, 1, 65535, "messages in a frame of the closed loop");
  flags.Count("--count", &o.count, 0, 2000000000, "messages to send in all; 0 is by time");
  flags.Real("--window", &o.window, "seconds of a stretch reported by itself; 0 is none");
  flags.Real("--drain", &o.drain, "seconds to wait for answers at the end");
  flags.Count("--delay", &o.delay, 0, 2000000000, "ms until a message is due; 0 is no delay");
  flags.Choice("--stamp", &o.stamp, "off", "on", "values begin with their time of sending");
  flags.Parse(argc, argv);
  if (o.stamp && o.size < 8) flags.Refuse("--stamp takes at least 8 bytes of", "--size");
  if (o.batch > o.in_flight) flags.Refuse("--batch is at most", "--in-flight");
  if (o.batch > 1 && o.rate > 0) flags.Refuse("--batch is for the closed loop, not with", "--rate");
  return o;
}

}  // namespace mq::loadgen

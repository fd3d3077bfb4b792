#pragma once
#include <string>
#include <utility>
#include <vector>

namespace mq::direct {

// What the generator is asked for; every flag is `--name value`.
struct Options {
  std::string brokers = "127.0.0.1:9092";
  std::string topic = "bench";
  int in_flight = 4096;  // messages without a delivery report
  int size = 1024;       // bytes of a value
  double duration = 20;  // seconds that are counted
  double warmup = 1;     // seconds before, not counted
  double rate = 0;       // messages a second; 0 = closed loop
  int keys = 10000;      // distinct keys; 0 = no key
  int count = 0;         // stop after so many messages; 0 = by time
  double drain = 30;     // seconds to wait for reports at the end
  bool id_header = true;
  // For librdkafka, over the ones the node uses too.
  std::vector<std::pair<std::string, std::string>> settings;
};

// Exits with 2 and a line on stderr when a flag is not understood, with 0 after --help.
Options ParseOptions(int argc, char** argv);

}  // namespace mq::direct

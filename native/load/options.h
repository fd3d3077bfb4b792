#pragma once
#include <string>

namespace mq::loadgen {

// What the generator is asked for; every flag is `--name value`.
struct Options {
  std::string host = "127.0.0.1";
  int port = 7650;
  std::string topic = "bench";
  int connections = 64;
  int in_flight = 64;       // unanswered messages of one connection
  int size = 1024;          // bytes of a value
  double duration = 20;     // seconds that are counted
  double warmup = 1;        // seconds before, not counted
  double rate = 0;          // messages a second in all; 0 = closed loop
  bool replicated = false;
  int keys = 10000;         // distinct keys; 0 = no key
  int batch = 1;            // messages in a frame: above 1 it is PRODUCE_BATCH
  int count = 0;            // stop after so many messages; 0 = by time
  double window = 0;        // seconds of a stretch that is reported by itself; 0 = none
  double drain = 30;        // seconds to wait for answers at the end
  int delay = 0;            // ms from acceptance until a message is due; 0 = now
  bool stamp = false;       // values begin with the time at which they were to be sent
};

// Exits with 2 and a line on stderr when a flag is not understood, with 0 after --help.
Options ParseOptions(int argc, char** argv);

}  // namespace mq::loadgen

// librdkafka's settings by name.
#pragma once

#include <rdkafka.h>

#include <map>
#include <string>

namespace mq::kafka {

using Config = std::map<std::string, std::string>;

/// The settings as librdkafka takes them, owned by the caller; null with a reason for a bad one.
inline rd_kafka_conf_t* ConfOf(const Config& config, std::string* error) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char reason[512];
  for (const auto& [name, value] : config) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), reason, sizeof(reason)) !=
        RD_KAFKA_CONF_OK) {
      *error = reason;
      rd_kafka_conf_destroy(conf);
      return nullptr;
    }
  }
  return conf;
}

/// A client with these settings, whose fate the conf shares; null with a reason.
inline rd_kafka_t* NewClient(rd_kafka_type_t type, rd_kafka_conf_t* conf, std::string* error) {
  char reason[512];
  rd_kafka_t* rk = rd_kafka_new(type, conf, reason, sizeof(reason));
  if (rk != nullptr) return rk;
  *error = reason;
  rd_kafka_conf_destroy(conf);
  return nullptr;
}

}  // namespace mq::kafka

/*
 * A mock Kafka in a process of its own: brokers of librdkafka's mock cluster on loopback ports, told by lines on stdin what to do. Each is
 * answered by "ok" or "failed: …"; it ends with its stdin.
 *
 *   topic NAME PARTITIONS REPLICAS
 *   leader NAME PARTITION BROKER      never none: the mock would crash at the next message for it
 *   down BROKER | up BROKER
 *   rtt BROKER MILLISECONDS
 */
#include <rdkafka.h>
#include <rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>

static rd_kafka_resp_err_t obey(rd_kafka_mock_cluster_t *cluster, const char *line) {
  char name[256];
  int first, second;
  if (sscanf(line, "topic %255s %d %d", name, &first, &second) == 3)
    return rd_kafka_mock_topic_create(cluster, name, first, second);
  if (sscanf(line, "leader %255s %d %d", name, &first, &second) == 3)
    return rd_kafka_mock_partition_set_leader(cluster, name, first, second);
  if (sscanf(line, "down %d", &first) == 1) return rd_kafka_mock_broker_set_down(cluster, first);
  if (sscanf(line, "up %d", &first) == 1) return rd_kafka_mock_broker_set_up(cluster, first);
  if (sscanf(line, "rtt %d %d", &first, &second) == 2)
    return rd_kafka_mock_broker_set_rtt(cluster, first, second);
  return RD_KAFKA_RESP_ERR__INVALID_ARG;
}

int main(int count, char **arguments) {
  char reason[512];
  const int brokers = count > 1 ? atoi(arguments[1]) : 1;
  rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), reason, sizeof reason);
  rd_kafka_mock_cluster_t *cluster = handle == NULL ? NULL : rd_kafka_mock_cluster_new(handle, brokers);
  if (cluster == NULL) {
    fprintf(stderr, "no mock cluster: %s\n", handle == NULL ? reason : "it was not made");
    return 1;
  }
  printf("bootstrap=%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
  fflush(stdout);
  char line[512];
  while (fgets(line, sizeof line, stdin) != NULL) {
    const rd_kafka_resp_err_t error = obey(cluster, line);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) puts("ok");
    else printf("failed: %s\n", rd_kafka_err2str(error));
    fflush(stdout);
  }
  rd_kafka_mock_cluster_destroy(cluster);
  rd_kafka_destroy(handle);
  return 0;
}

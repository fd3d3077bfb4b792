/*
 * Producers of librdkafka that break for good: with MQ_PRELOAD_FATAL=N, the N-th message of the process, and each N-th after it, breaks the
 * one that it is handed to. It fails as after a broker that has lost what it acknowledged, by librdkafka's own means.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#include "preload.h"

/* RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER */
#define OUT_OF_ORDER 45

static int64_t every;

__attribute__((constructor)) static void configure(void) {
  const char *words = getenv("MQ_PRELOAD_FATAL");
  every = words == NULL ? 0 : atoll(words);
}

void break_producer(void *producer) {
  static int64_t handed;
  if (every == 0 || __atomic_add_fetch(&handed, 1, __ATOMIC_RELAXED) % every != 0) return;
  /* The addon brings its librdkafka along, so it is not behind this library but was loaded since. */
  void *library = dlopen("librdkafka.so.1", RTLD_LAZY | RTLD_NOLOAD);
  void *found = library == NULL ? NULL : dlsym(library, "rd_kafka_test_fatal_error");
  if (found == NULL) abort();
  ((int (*)(void *, int, const char *))found)(producer, OUT_OF_ORDER, "as was asked for");
}

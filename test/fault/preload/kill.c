/*
 * Places in the native code at which a process is made to die: MQ_KILL_POINT names one, MQ_KILL_AT says at which passing of it. They are
 * seen by the calls of librdkafka around them, so the addon itself knows nothing of them:
 *
 *   native.before-produce      a message is about to be handed to librdkafka
 *   native.produced            it was, and the next one was not
 *   native.reports-read        delivery reports were read, and nothing was counted
 *   native.reports-counted     they were counted, and no lane has heard of them
 *   native.reports-handed-up   the lanes have them
 *   native.before-purge        a producer is being given up, nothing was taken back yet
 *   native.purged              what was in it was taken back, and nobody has heard of it
 *   native.before-destroy      all of it was reported, a new one is in use
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "preload.h"

static const char *point;
static long at;

__attribute__((constructor)) static void configure(void) {
  point = getenv("MQ_KILL_POINT");
  const char *passing = getenv("MQ_KILL_AT");
  at = passing == NULL ? 1 : atol(passing);
}

static void pass(const char *name) {
  static long passed;
  if (point == NULL || strcmp(point, name) != 0) return;
  if (__atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED) == at) kill(getpid(), SIGKILL);
}

/* The addon brings its librdkafka along, so it is not behind this library but was loaded since. */
static void *real_of(const char *name) {
  void *library = dlopen("librdkafka.so.1", RTLD_LAZY | RTLD_NOLOAD);
  void *found = library == NULL ? NULL : dlsym(library, name);
  if (found == NULL) abort();
  return found;
}

#define REAL(name)                      \
  static __typeof__(&name) real;        \
  if (real == NULL) real = (__typeof__(real))real_of(#name)

/* What this thread has read and not handed up. */
static __thread int has_reports;
static __thread int is_giving_up;

void *rd_kafka_produceva(void *producer, const void *arguments, size_t count) {
  REAL(rd_kafka_produceva);
  pass("native.before-produce");
  void *error = real(producer, arguments, count);
  pass("native.produced");
  break_producer(producer);
  return error;
}

size_t rd_kafka_event_message_array(void *event, const void **messages, size_t size) {
  REAL(rd_kafka_event_message_array);
  size_t count = real(event, messages, size);
  if (count > 0) {
    has_reports = 1;
    pass("native.reports-read");
  }
  return count;
}

void rd_kafka_event_destroy(void *event) {
  REAL(rd_kafka_event_destroy);
  real(event);
  if (has_reports) pass("native.reports-counted");
}

void *rd_kafka_queue_poll(void *queue, int timeout_ms) {
  REAL(rd_kafka_queue_poll);
  // Within a round events are polled for without waiting; between two rounds the reports go up.
  if (timeout_ms != 0 && has_reports) {
    has_reports = 0;
    pass("native.reports-handed-up");
  }
  return real(queue, timeout_ms);
}

int rd_kafka_purge(void *producer, int flags) {
  REAL(rd_kafka_purge);
  is_giving_up = 1;
  pass("native.before-purge");
  int result = real(producer, flags);
  pass("native.purged");
  return result;
}

void rd_kafka_destroy(void *handle) {
  REAL(rd_kafka_destroy);
  if (is_giving_up) pass("native.before-destroy");
  real(handle);
}

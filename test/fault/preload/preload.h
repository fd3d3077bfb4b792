/* What the parts of the preload library share. */
#ifndef MQ_PRELOAD_H
#define MQ_PRELOAD_H

#include <stdint.h>
#include <sys/types.h>

enum fault_kind { FAULT_SYNC, FAULT_WRITE, FAULT_CREATE };

/* Looks whether a rule hits this call: waits where it says so, and answers the errno to fail with, or 0. */
int fault_of(enum fault_kind kind, const char *path);

int64_t monotonic_ns(void);
void wait_ms(long ms);

/* Whether a path is below MQ_PRELOAD_PATH. */
int is_watched(const char *path);
/* One line of MQ_PRELOAD_LOG; keeps errno. */
void record(const char *call, long first, int64_t offset, int64_t bytes, int64_t start, int64_t result, const char *path);
int is_recording(void);

/* Before a change that an undoing must take back. Each keeps what was there in MQ_PRELOAD_GRAVE and says under which number; -1
 * where nothing was there, or where no grave was asked for. */
long bury_name(const char *path);
long bury_bytes(int fd, int64_t offset, int64_t bytes);
int is_burying(void);

/* A message was handed to a producer of librdkafka: breaks it, where that was asked for. */
void break_producer(void *producer);

#endif

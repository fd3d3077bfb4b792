/*
 * A wall clock that a test steps: MQ_PRELOAD_CLOCK names a file of eight bytes, nanoseconds (little-endian, signed) that are
 * added to CLOCK_REALTIME. It is mapped, so a step takes effect at once. Waits up to a moment of the wall clock end at the
 * same moment as without the step; the monotonic clock is left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *offset_ns;

__attribute__((constructor)) static void configure(void) {
  const char *file = getenv("MQ_PRELOAD_CLOCK");
  if (file == NULL) return;
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return;
  void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  syscall(SYS_close, fd);
  if (mapped != MAP_FAILED) offset_ns = mapped;
}

static int64_t offset(void) { return offset_ns == NULL ? 0 : atomic_load_explicit(offset_ns, memory_order_relaxed); }

static void shift(struct timespec *time, int64_t by) {
  const int64_t all = (int64_t)time->tv_sec * 1000000000 + time->tv_nsec + by;
  time->tv_sec = all / 1000000000;
  time->tv_nsec = all % 1000000000;
}

#define REAL(name) \
  static __typeof__(&name) real; \
  if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int clock_gettime(clockid_t clock, struct timespec *time) {
  REAL(clock_gettime);
  const int result = real(clock, time);
  if (result == 0 && offset_ns != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(time, offset());
  return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}

int timespec_get(struct timespec *time, int base) {
  if (base != TIME_UTC) return 0;
  clock_gettime(CLOCK_REALTIME, time);
  return base;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
  static __typeof__(&pthread_cond_timedwait) real;
  // Without a version the loader may give the one of before 2003, which has another layout.
  if (real == NULL) real = (__typeof__(real))dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  if (real == NULL) real = (__typeof__(real))dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  if (offset_ns == NULL) return real(condition, mutex, until);
  // A condition may be on the monotonic clock, whose moments are small numbers.
  struct timespec moment = *until, wall;
  clock_gettime(CLOCK_REALTIME, &wall);
  if (moment.tv_sec > wall.tv_sec / 2) shift(&moment, -offset());
  return real(condition, mutex, &moment);
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
  REAL(cnd_timedwait);
  struct timespec moment = *until;
  shift(&moment, -offset());
  return real(condition, mutex, &moment);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
  REAL(sem_timedwait);
  struct timespec moment = *until;
  shift(&moment, -offset());
  return real(semaphore, &moment);
}

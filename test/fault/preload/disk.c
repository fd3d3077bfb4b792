/*
 * A preload library (LD_PRELOAD) that records, delays and fails what a process does to files, to show that an answer waits for
 * the disk and what is left when the disk does not do its part. Built by test/support/preload.ts, with faults.c, grave.c and
 * clock.c beside this file.
 *
 *   MQ_PRELOAD_PATH      only files whose path begins with this; default: all
 *   MQ_PRELOAD_DELAY_MS  fsync, fdatasync and sync_file_range take this much longer
 *   MQ_PRELOAD_FAIL      after this many syncs every sync fails with EIO, without reaching the disk; default: never
 *   MQ_PRELOAD_FAULTS    a file of rules, see faults.c
 *   MQ_PRELOAD_GRAVE     a folder that keeps what is overwritten, cut, renamed over or removed, see grave.c
 *   MQ_PRELOAD_CLOCK     a file with an offset of the wall clock, see clock.c
 *   MQ_PRELOAD_LOG       a file that gets one line per call, written after the call with one write():
 *                          <call> <fd> <offset> <bytes> <start ns> <end ns> <result> <path>
 *                        The times are CLOCK_MONOTONIC: process.hrtime.bigint() of any process on the machine.
 *                        <offset> is -1 where the call has none. With a grave, writes have their place in <offset>, syncs the
 *                        file's size at their start in <bytes>, and these lines come too, with the grave's number in <fd>:
 *                          overwrite  before a write over old bytes        truncate  before a cut; <bytes> is what it cuts off
 *                          create     a new name                           unlink    a name that is gone
 *                          rename     <path> is both, a tab between them
 *
 * The path of a descriptor is asked of /proc at each call, so that descriptors used again for another file are never mistaken.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "preload.h"

static char prefix[PATH_MAX];
static size_t prefix_length;
static long delay_ms;
static long fail_after = -1;
static int log_fd = -1;
static atomic_long syncs;

__attribute__((constructor)) static void configure(void) {
  const char *path = getenv("MQ_PRELOAD_PATH");
  const char *delay = getenv("MQ_PRELOAD_DELAY_MS");
  const char *fail = getenv("MQ_PRELOAD_FAIL");
  const char *log = getenv("MQ_PRELOAD_LOG");
  if (path != NULL && realpath(path, prefix) == NULL) strncpy(prefix, path, sizeof prefix - 1);
  prefix_length = strlen(prefix);
  if (delay != NULL) delay_ms = strtol(delay, NULL, 10);
  if (fail != NULL) fail_after = strtol(fail, NULL, 10);
  if (log != NULL) log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

int64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int is_watched(const char *path) { return path[0] == '/' && strncmp(path, prefix, prefix_length) == 0; }

int is_recording(void) { return log_fd >= 0; }

/* Whether this descriptor is a file to be watched; fills in its path. */
static int watched(int fd, char path[PATH_MAX]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length <= 0) return 0;
  path[length] = '\0';
  return is_watched(path);
}

void record(const char *call, long first, int64_t offset, int64_t bytes, int64_t start, int64_t result, const char *path) {
  if (log_fd < 0) return;
  const int kept = errno;
  char line[2 * PATH_MAX + 160];
  int length = snprintf(line, sizeof line, "%s %ld %lld %lld %lld %lld %lld %s\n", call, first, (long long)offset, (long long)bytes,
                        (long long)start, (long long)monotonic_ns(), (long long)result, path);
  if (length > (int)sizeof line - 1) length = (int)sizeof line - 1;
  syscall(SYS_write, log_fd, line, (size_t)length);
  errno = kept;
}

void wait_ms(long ms) {
  struct timespec rest = {ms / 1000, (ms % 1000) * 1000000};
  while (ms > 0 && nanosleep(&rest, &rest) != 0 && errno == EINTR) {
  }
}

/* Every sync call comes by here: decides over failure and delay, and keeps the record. */
static int sync_call(const char *name, int fd, int64_t offset, int64_t bytes, long (*call)(int, int64_t, int64_t, unsigned),
                     unsigned flags) {
  char path[PATH_MAX];
  if (!watched(fd, path)) return (int)call(fd, offset, bytes, flags);
  const int64_t start = monotonic_ns();
  const long number = atomic_fetch_add(&syncs, 1);
  struct stat now;
  if (is_burying() && bytes < 0 && syscall(SYS_fstat, fd, &now) == 0) bytes = now.st_size;
  wait_ms(delay_ms);
  const int error = fail_after >= 0 && number >= fail_after ? EIO : fault_of(FAULT_SYNC, path);
  long result = -1;
  if (error != 0) errno = error;
  else result = call(fd, offset, bytes, flags);
  record(name, fd, offset, bytes, start, result, path);
  return (int)result;
}

static long real_fsync(int fd, int64_t offset, int64_t bytes, unsigned flags) {
  (void)offset, (void)bytes, (void)flags;
  return syscall(SYS_fsync, fd);
}

static long real_fdatasync(int fd, int64_t offset, int64_t bytes, unsigned flags) {
  (void)offset, (void)bytes, (void)flags;
  return syscall(SYS_fdatasync, fd);
}

static long real_sync_file_range(int fd, int64_t offset, int64_t bytes, unsigned flags) {
  return syscall(SYS_sync_file_range, fd, offset, bytes, flags);
}

int fsync(int fd) { return sync_call("fsync", fd, -1, -1, real_fsync, 0); }

int fdatasync(int fd) { return sync_call("fdatasync", fd, -1, -1, real_fdatasync, 0); }

int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned flags) {
  return sync_call("sync_file_range", fd, offset, bytes, real_sync_file_range, flags);
}

/* One write call on its way: what it is, and whether it is watched. */
struct write_call {
  const char *name;
  int fd;
  int64_t offset;
  size_t bytes;
  int64_t start;
  int watched;
  char path[PATH_MAX];
};

/* Answers the errno to fail with, or 0: then the write is to be done. */
static int begin_write(struct write_call *call) {
  call->start = monotonic_ns();
  call->watched = watched(call->fd, call->path);
  if (!call->watched) return 0;
  if (is_burying()) {
    struct stat now;
    const int is_append = (syscall(SYS_fcntl, call->fd, F_GETFL) & O_APPEND) != 0;
    syscall(SYS_fstat, call->fd, &now);
    if (is_append) call->offset = now.st_size;
    else if (call->offset < 0) call->offset = syscall(SYS_lseek, call->fd, 0, SEEK_CUR);
    const int64_t old = now.st_size - call->offset;
    if (old > 0) {
      const int64_t over = old < (int64_t)call->bytes ? old : (int64_t)call->bytes;
      record("overwrite", bury_bytes(call->fd, call->offset, over), call->offset, over, call->start, 0, call->path);
    }
  }
  return fault_of(FAULT_WRITE, call->path);
}

static ssize_t end_write(struct write_call *call, int error, ssize_t result) {
  if (error != 0) errno = error;
  if (call->watched) record(call->name, call->fd, call->offset, (int64_t)call->bytes, call->start, result, call->path);
  return result;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) {
  struct write_call call = {.name = "pwrite", .fd = fd, .offset = offset, .bytes = bytes};
  const int error = begin_write(&call);
  return end_write(&call, error, error != 0 ? -1 : syscall(SYS_pwrite64, fd, data, bytes, offset));
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) { return pwrite(fd, data, bytes, offset); }

ssize_t write(int fd, const void *data, size_t bytes) {
  struct write_call call = {.name = "write", .fd = fd, .offset = -1, .bytes = bytes};
  const int error = begin_write(&call);
  return end_write(&call, error, error != 0 ? -1 : syscall(SYS_write, fd, data, bytes));
}

static size_t sum_of(const struct iovec *parts, int count) {
  size_t bytes = 0;
  for (int part = 0; part < count; part++) bytes += parts[part].iov_len;
  return bytes;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  struct write_call call = {.name = "writev", .fd = fd, .offset = -1, .bytes = sum_of(parts, count)};
  const int error = begin_write(&call);
  return end_write(&call, error, error != 0 ? -1 : syscall(SYS_writev, fd, parts, count));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  struct write_call call = {.name = "pwritev", .fd = fd, .offset = offset, .bytes = sum_of(parts, count)};
  const int error = begin_write(&call);
  return end_write(&call, error, error != 0 ? -1 : syscall(SYS_pwritev, fd, parts, count, offset, 0));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return pwritev(fd, parts, count, offset); }

/*
 * What a loss of power may take back. MQ_PRELOAD_GRAVE names a folder, on the same volume, that keeps under a number what a
 * process overwrites, cuts off, renames over or removes; the calls that change names are recorded like the others.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload.h"

static const char *grave;
static atomic_long numbers;

__attribute__((constructor)) static void configure(void) { grave = getenv("MQ_PRELOAD_GRAVE"); }

int is_burying(void) { return grave != NULL; }

/* Numbers are of this process: two lives of a node take two graves. */
static long next_place(char place[PATH_MAX]) {
  const long number = atomic_fetch_add(&numbers, 1);
  snprintf(place, PATH_MAX, "%s/%ld", grave, number);
  return number;
}

long bury_name(const char *path) {
  if (grave == NULL || syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0) return -1;
  char place[PATH_MAX];
  const long number = next_place(place);
  return syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, place, 0) == 0 ? number : -1;
}

long bury_bytes(int fd, int64_t offset, int64_t bytes) {
  if (grave == NULL || bytes <= 0) return -1;
  char link[64], path[PATH_MAX], place[PATH_MAX];
  // The descriptor may be for writing only.
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return -1;
  path[length] = '\0';
  const long number = next_place(place);
  const int from = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  const int to = (int)syscall(SYS_openat, AT_FDCWD, place, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  char part[65536];
  for (int64_t at = 0; from >= 0 && to >= 0 && at < bytes;) {
    const size_t wanted = bytes - at < (int64_t)sizeof part ? (size_t)(bytes - at) : sizeof part;
    const long got = syscall(SYS_pread64, from, part, wanted, offset + at);
    if (got <= 0 || syscall(SYS_write, to, part, (size_t)got) != got) break;
    at += got;
  }
  if (from >= 0) syscall(SYS_close, from);
  if (to >= 0) syscall(SYS_close, to);
  return number;
}

/* An absolute path with its folder resolved, as /proc tells it of descriptors. */
static int resolved(const char *path, char out[PATH_MAX]) {
  char folder[PATH_MAX];
  strncpy(folder, path, sizeof folder - 1);
  folder[sizeof folder - 1] = '\0';
  char *slash = strrchr(folder, '/');
  const char *name = slash == NULL ? path : path + (slash - folder) + 1;
  if (slash == NULL) strcpy(folder, ".");
  else if (slash == folder) folder[1] = '\0';
  else *slash = '\0';
  char real[PATH_MAX];
  if (realpath(folder, real) == NULL) return 0;
  return snprintf(out, PATH_MAX, "%s/%s", real, name) < PATH_MAX;
}

static void note_cut(int fd, const char *path, int64_t to) {
  struct stat now;
  if (syscall(SYS_fstat, fd, &now) != 0 || !S_ISREG(now.st_mode) || now.st_size <= to) return;
  const int64_t cut = now.st_size - to;
  record("truncate", bury_bytes(fd, to, cut), to, cut, monotonic_ns(), 0, path);
}

/* `open` in all its names: creations can fail, and both creations and cuts are noted. */
static int open_call(int folder, const char *path, int flags, mode_t mode) {
  char whole[PATH_MAX];
  const int changes = (flags & (O_CREAT | O_TRUNC)) != 0 && resolved(path, whole) && is_watched(whole);
  if (!changes) return (int)syscall(SYS_openat, folder, path, flags, mode);
  const int exists = syscall(SYS_faccessat, folder, path, F_OK) == 0;
  if (!exists && (flags & O_CREAT) != 0) {
    const int error = fault_of(FAULT_CREATE, whole);
    if (error != 0) {
      record("create", -1, -1, -1, monotonic_ns(), -1, whole);
      errno = error;
      return -1;
    }
  }
  if (exists && (flags & O_TRUNC) != 0 && is_burying()) {
    const int fd = (int)syscall(SYS_openat, folder, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) {
      note_cut(fd, whole, 0);
      syscall(SYS_close, fd);
    }
  }
  const int64_t start = monotonic_ns();
  const int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
  if (!exists && is_burying() && fd >= 0) record("create", -1, -1, -1, start, 0, whole);
  return fd;
}

int open(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open_call(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open_call(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int ftruncate(int fd, off_t length) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t bytes = is_burying() ? readlink(link, path, sizeof path - 1) : -1;
  if (bytes > 0) path[bytes] = '\0';
  if (bytes > 0 && is_watched(path)) note_cut(fd, path, length);
  return (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

int rename(const char *from, const char *to) {
  char both[2 * PATH_MAX], first[PATH_MAX], second[PATH_MAX];
  const int noted = is_burying() && resolved(from, first) && resolved(to, second) && is_watched(second);
  const int64_t start = monotonic_ns();
  const long number = noted ? bury_name(second) : -1;
  const int result = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
  if (noted && result == 0) {
    snprintf(both, sizeof both, "%s\t%s", first, second);
    record("rename", number, -1, -1, start, 0, both);
  }
  return result;
}

int unlink(const char *path) {
  char whole[PATH_MAX];
  const int noted = is_burying() && resolved(path, whole) && is_watched(whole);
  const int64_t start = monotonic_ns();
  const long number = noted ? bury_name(whole) : -1;
  const int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  if (noted && result == 0) record("unlink", number, -1, -1, start, 0, whole);
  return result;
}

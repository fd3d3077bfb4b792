/*
 * Rules of failure, from the file MQ_PRELOAD_FAULTS, read again whenever it was replaced: one line each,
 *
 *   <sync|write|create> <from> <to> <EIO|ENOSPC|milliseconds> [<part of the path>]
 *
 * A rule counts the calls that it fits, from 1, since the file was read, and hits those in its range; <to> 0 is "for ever".
 * Milliseconds make the call slow; the first rule that gives an error decides it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "preload.h"

#define RULES_MAX 32

struct rule {
  enum fault_kind kind;
  long from, to, seen;
  int error;
  long wait_ms;
  char part[256];
};

static const char *file;
static struct rule rules[RULES_MAX];
static int rule_count;
static struct timespec read_at;
static ino_t read_inode;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void configure(void) { file = getenv("MQ_PRELOAD_FAULTS"); }

static void parse(char *text) {
  rule_count = 0;
  char *rest = NULL;
  for (char *line = strtok_r(text, "\n", &rest); line != NULL && rule_count < RULES_MAX; line = strtok_r(NULL, "\n", &rest)) {
    struct rule *rule = &rules[rule_count];
    memset(rule, 0, sizeof *rule);
    char kind[16], action[16];
    if (sscanf(line, "%15s %ld %ld %15s %255[^\n]", kind, &rule->from, &rule->to, action, rule->part) < 4) continue;
    rule->kind = strcmp(kind, "sync") == 0 ? FAULT_SYNC : strcmp(kind, "write") == 0 ? FAULT_WRITE : FAULT_CREATE;
    if (strcmp(action, "EIO") == 0) rule->error = EIO;
    else if (strcmp(action, "ENOSPC") == 0) rule->error = ENOSPC;
    else rule->wait_ms = strtol(action, NULL, 10);
    rule_count++;
  }
}

static void read_rules(void) {
  struct stat now;
  if (syscall(SYS_newfstatat, AT_FDCWD, file, &now, 0) != 0) {
    rule_count = 0;
    read_inode = 0;
    return;
  }
  if (now.st_ino == read_inode && now.st_mtim.tv_sec == read_at.tv_sec && now.st_mtim.tv_nsec == read_at.tv_nsec) return;
  char text[8192];
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return;
  const long length = syscall(SYS_read, fd, text, sizeof text - 1);
  syscall(SYS_close, fd);
  if (length < 0) return;
  text[length] = '\0';
  read_inode = now.st_ino;
  read_at = now.st_mtim;
  parse(text);
}

int fault_of(enum fault_kind kind, const char *path) {
  if (file == NULL) return 0;
  const int kept = errno;
  int error = 0;
  long wait = 0;
  pthread_mutex_lock(&lock);
  read_rules();
  for (int i = 0; i < rule_count; i++) {
    struct rule *rule = &rules[i];
    if (rule->kind != kind || strstr(path, rule->part) == NULL) continue;
    const long number = ++rule->seen;
    if (number < rule->from || (rule->to != 0 && number > rule->to)) continue;
    if (rule->error == 0) wait += rule->wait_ms;
    else if (error == 0) error = rule->error;
  }
  pthread_mutex_unlock(&lock);
  wait_ms(wait);
  errno = kept;
  return error;
}

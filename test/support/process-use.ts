import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What a process holds that it must give back. */
export interface ProcessUse {
  /** Open descriptors that are no files of its store: sockets, pipes and the like. */
  readonly descriptors: number;
  /** Instances of the native producer: each has a thread for its reports. */
  readonly producers: number;
  /** Bytes of its memory that are in use. */
  readonly rss: number;
}

/** For `test(title, { skip: skipWithoutProc() }, …)`. */
export function skipWithoutProc(): string | false {
  return process.platform === 'linux' ? false : 'what a process holds is read from /proc of Linux';
}

/** What the process holds now. */
export function processUse(pid: number): ProcessUse {
  const folder = `/proc/${pid}`;
  const kinds = readdirSync(`${folder}/fd`).map((fd) =>
    gone(() => readlinkSync(`${folder}/fd/${fd}`)),
  );
  const threads = readdirSync(`${folder}/task`).map((thread) =>
    gone(() => readFileSync(`${folder}/task/${thread}/comm`, 'utf8')),
  );
  return {
    descriptors: kinds.filter((kind) => /^(socket|pipe|anon_inode):/.test(kind)).length,
    producers: threads.filter((name) => name.trim() === 'mq-reports').length,
    rss: rssOf(pid),
  };
}

/** Bytes of a process's memory that are in use. */
export function rssOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

/** What is listed may be gone by the time it is read. */
export function gone(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

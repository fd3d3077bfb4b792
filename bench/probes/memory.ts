// Loaded into a node by --import: on SIGUSR2 it collects garbage and writes what memory it has to
// the file named by MQPROXY_BENCH_PROBE. Needs --expose-gc.
import { renameSync, writeFileSync } from 'node:fs';

const file = process.env['MQPROXY_BENCH_PROBE'] ?? 'probe.json';

process.on('SIGUSR2', () => {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  // Not in one go: a reader sees the whole or nothing.
  writeFileSync(`${file}.new`, JSON.stringify(process.memoryUsage()));
  renameSync(`${file}.new`, file);
});

// Loaded into a node by --import: a first SIGUSR2 starts a sampling profile of what the main
// thread allocates, collected or not; the second writes it to the file of MQPROXY_BENCH_PROBE.
import { renameSync, writeFileSync } from 'node:fs';
import { type HeapProfiler, Session } from 'node:inspector';

const file = process.env['MQPROXY_BENCH_PROBE'] ?? 'probe.json';
const samplingInterval = 8192;
const session = new Session();
let running = false;

process.on('SIGUSR2', () => {
  if (running) stop();
  else start();
  running = !running;
});

function start(): void {
  session.connect();
  session.post('HeapProfiler.startSampling', {
    samplingInterval,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  } as HeapProfiler.StartSamplingParameterType);
  write({ started: true });
}

function stop(): void {
  session.post('HeapProfiler.stopSampling', (error, answer) => {
    if (error) throw error;
    const bytes = new Map<string, number>();
    collect(answer.profile.head, bytes);
    const sites = [...bytes].sort(([, a], [, b]) => b - a);
    write({ bytes: sites.reduce((sum, [, size]) => sum + size, 0), sites: sites.slice(0, 15) });
  });
}

function collect(node: HeapProfiler.SamplingHeapProfileNode, bytes: Map<string, number>): void {
  const { functionName, url, lineNumber } = node.callFrame;
  const where = `${functionName || '(anonymous)'} ${url.split('/').slice(-2).join('/')}:${lineNumber + 1}`;
  if (node.selfSize > 0) bytes.set(where, (bytes.get(where) ?? 0) + node.selfSize);
  for (const child of node.children) collect(child, bytes);
}

function write(what: unknown): void {
  writeFileSync(`${file}.new`, JSON.stringify(what));
  renameSync(`${file}.new`, file);
}

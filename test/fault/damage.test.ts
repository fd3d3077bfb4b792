import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectDelay, delayNumbers } from '../support/connect.ts';
import { copyOf, filesBelow, flipBit, logRecordEnds, newestLog } from '../support/data-dir.ts';
import { RawClient, readAll } from '../support/raw-client.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { serveRefusal, startServer, TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const flipsPerFile = countOf('MQP_FLIPS', isLong ? 2 : 1);
const topic = uniqueTopic('damage');
/** A topic that an older copy of the folder does not know. */
const later = uniqueTopic('later');
const rounds = 30;
const perRound = 20;
const dayMs = 86_400_000;

/**
 * Produces, and leaves a store with a table, a log and a mark that is up to date, and delayed
 * messages that wait; `older` is how the folder was half-way.
 */
async function makeStore() {
  const server = await startServer();
  const produce = async (round: number) => {
    const client = await RawClient.connect(server.mqp, { producerId: 9n });
    const { topicId } = await client.open(topic);
    const first = 1 + round * perRound;
    const values = Array.from(
      { length: perRound },
      (_, i) => `value ${first + i} ${'v'.repeat(60)}`,
    );
    const outcomes = await client.produce({ topic: topicId, first, values, batch: true });
    assert(outcomes.every(({ code }) => code === 0));
    client.socket.destroy();
  };
  const delay = async (count: number, to: string) => {
    const client = await connectDelay(server);
    for (let i = 0; i < count; i++) {
      await client.produce(to, { value: `${i}`, dueAtMs: Date.now() + dayMs }, { ack: 'stored' });
    }
    const all = async () => (await delayNumbers(client)).pending >= count;
    await until(all, { what: 'what was delayed to be in the index' });
    await client.close();
  };
  for (let round = 0; round < rounds / 2; round++) await produce(round);
  await delay(10, topic);
  assert.deepEqual(await server.kill('SIGTERM'), { code: 0, signal: null });
  const older = copyOf(server.dataDir);
  // A restart makes RocksDB write what its log held into a table.
  await server.restart();
  for (let round = rounds / 2; round < rounds; round++) await produce(round);
  await delay(10, later);
  const client = await RawClient.connect(server.mqp, { producerId: 10n });
  const { topicId } = await client.open(later);
  await client.produce({ topic: topicId, first: 1, values: ['later'] });
  client.socket.destroy();
  const held = await contentsOf(server);
  assert.equal(held.values.length, rounds * perRound);
  assert.deepEqual(await server.kill('SIGTERM'), { code: 0, signal: null });
  return { dataDir: server.dataDir, older, held };
}

/** What a node has, as its clients see it. */
async function contentsOf(server: TestServer) {
  const read = async (name: string) =>
    (await readAll(server.mqp, name)).map(({ value }) => value.toString());
  const contents = { values: await read(topic), later: await read(later) };
  const client = await connectDelay(server);
  const { pending } = await delayNumbers(client);
  await client.close();
  return { ...contents, pending };
}

const base = await makeStore();

/** A store after kill -9, whose last record is a batch, below the mark. */
async function crashedStore(): Promise<string> {
  const server = await startServer({ dataDir: copyOf(base.dataDir) });
  const client = await RawClient.connect(server.mqp);
  const { topicId } = await client.open(topic);
  for (const first of [1, 2, 3]) await client.produce({ topic: topicId, first, values: ['last'] });
  const mark = join(server.dataDir, 'lanes', '0', 'mark');
  const before = readFileSync(mark);
  await client.produce({ topic: topicId, first: 4, values: ['the very last'] });
  await until(() => !readFileSync(mark).equals(before), { what: 'the mark to follow' });
  await server.kill('SIGKILL');
  return server.dataDir;
}

/** Starts a node on a damaged folder: it refuses in good words, or serves everything. */
async function refusedOrExact(dataDir: string, what: string): Promise<'refused' | 'exact'> {
  const server = new TestServer({ dataDir });
  try {
    await server.start();
  } catch {
    const { code, signal } = await server.exited;
    const said = server.stderr();
    // The index of delays is made anew from the log once it is deleted; RocksDB itself may abort on
    // a damaged one, before anything is served.
    if (what.includes('delay/') && signal === 'SIGABRT') return 'refused';
    assert(code === 70 || code === 1, `${what}: ended with ${code}\n${said}`);
    if (code === 70) assert.match(said, /lane \d+: .*expected .*found/s, what);
    else assert.match(said, /node\.json|topics\.json|topics file|cluster\.secret/, what);
    return 'refused';
  }
  try {
    const found = await contentsOf(server);
    assert.deepEqual(found, base.held, `${what}: served, but not what was stored`);
    return 'exact';
  } catch (error) {
    // A chunk that nobody has read since is held against its checksum when it is.
    const words = error instanceof Error ? error.message : '';
    if (!/^lane 0: .*expected .*found/.test(words)) throw error;
    return 'refused';
  } finally {
    await server.close();
  }
}

test('the last record of the log cut off below the mark is refused', async () => {
  const dataDir = copyOf(await crashedStore());
  const log = newestLog(dataDir);
  const ends = logRecordEnds(log);
  assert.equal(ends.at(-1), statSync(log).size, 'the log is read to its end');
  truncateSync(log, ends.at(-2));
  const { code, stderr } = await serveRefusal({ dataDir });
  assert.equal(code, 70);
  assert.match(stderr, /lane 0: expected .*\b\d+.* found .*\b\d+/s);
  console.log(stderr.split('\n').find((line) => line.includes('expected')));
});

test('a record that is torn, or cut several records short, is refused', async () => {
  for (const back of [2, 5, 12]) {
    const dataDir = copyOf(base.dataDir);
    const log = newestLog(dataDir);
    truncateSync(log, (logRecordEnds(log).at(-back) as number) - 3);
    assert.equal((await serveRefusal({ dataDir })).code, 70);
  }
});

test('a flipped bit in any file is refused or does no harm', async () => {
  console.log(`seed=${seed} flips=${flipsPerFile}`);
  const random = new Seeded(seed);
  const seen: Record<string, number> = { refused: 0, exact: 0 };
  for (const file of filesBelow(base.dataDir)) {
    const size = statSync(join(base.dataDir, file)).size;
    if (size === 0 || file.endsWith('.jsonl')) continue;
    for (let flip = 0; flip < flipsPerFile; flip++) {
      const dataDir = copyOf(base.dataDir);
      const bit = random.below(size * 8);
      flipBit(join(dataDir, file), bit);
      const outcome = await refusedOrExact(dataDir, `${file}, bit ${bit} of ${size} bytes`);
      seen[outcome] = (seen[outcome] ?? 0) + 1;
      rmSync(dataDir, { recursive: true });
    }
  }
  const cases = (seen['refused'] ?? 0) + (seen['exact'] ?? 0);
  console.log(`cases=${cases} refused=${seen['refused']} exact=${seen['exact']}`);
  assert(cases >= 15 * flipsPerFile, `${cases} cases prove little`);
  assert((seen['refused'] ?? 0) > 0);
});

test('a missing file is refused or does no harm', async () => {
  const outcomes: string[] = [];
  for (const file of [...filesBelow(base.dataDir), 'lanes/0', 'lanes']) {
    const dataDir = copyOf(base.dataDir);
    rmSync(join(dataDir, file), { recursive: true });
    outcomes.push(`${file}: ${await refusedOrExact(dataDir, `without ${file}`)}`);
    rmSync(dataDir, { recursive: true });
  }
  console.log(`cases=${outcomes.length}\n${outcomes.join('\n')}`);
});

test('a file that is cut short is refused or does no harm', async () => {
  console.log(`seed=${seed}`);
  const random = new Seeded(seed);
  const outcomes: string[] = [];
  for (const file of filesBelow(base.dataDir)) {
    const { size } = statSync(join(base.dataDir, file));
    if (size === 0 || file.endsWith('.jsonl')) continue;
    const dataDir = copyOf(base.dataDir);
    const to = random.below(size);
    truncateSync(join(dataDir, file), to);
    const what = `${file} cut from ${size} to ${to} bytes`;
    outcomes.push(`${what}: ${await refusedOrExact(dataDir, what)}`);
    rmSync(dataDir, { recursive: true });
  }
  console.log(`cases=${outcomes.length}\n${outcomes.join('\n')}`);
});

test('a file from an older copy of the folder is refused or does no harm', async () => {
  const outcomes: string[] = [];
  for (const file of filesBelow(base.dataDir)) {
    const from = join(base.older, file);
    if (!existsSync(from)) continue;
    const dataDir = copyOf(base.dataDir);
    cpSync(from, join(dataDir, file));
    outcomes.push(`${file}: ${await refusedOrExact(dataDir, `${file} of before`)}`);
    rmSync(dataDir, { recursive: true });
  }
  console.log(`cases=${outcomes.length}\n${outcomes.join('\n')}`);
  // It would give the number of a topic that it does not know, and its messages, to the next one.
  assert(outcomes.includes('topics.json: refused'));
});

test('a mark whose newest slot is spoilt falls back to the slot before', async () => {
  const dataDir = copyOf(base.dataDir);
  const path = join(dataDir, 'lanes', '0', 'mark');
  const bytes = readFileSync(path);
  // counter:u64 at 8 of each slot; the slots are 4,096 bytes apart.
  const newest = bytes.readBigUInt64BE(8) > bytes.readBigUInt64BE(4096 + 8) ? 0 : 4096;
  bytes.fill(0, newest, newest + 64);
  writeFileSync(path, bytes);
  assert.equal(await refusedOrExact(dataDir, 'one slot of the mark'), 'exact');
});

test('a second process on the folder is refused, and the first is not disturbed', async () => {
  const server = await startServer();
  const client = await RawClient.connect(server.mqp);
  const { topicId } = await client.open(topic);
  await client.produce({ topic: topicId, first: 1, values: ['before'] });
  const second = await serveRefusal({ dataDir: server.dataDir });
  assert.equal(second.code, 1);
  assert.match(second.stderr, /another process has .* open/);
  const [outcome] = await client.produce({ topic: topicId, first: 2, values: ['after'] });
  assert.equal(outcome?.name, 'OK');
});

test('a newer format is refused in words', async () => {
  const dataDir = copyOf(base.dataDir);
  const path = join(dataDir, 'node.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(path, JSON.stringify({ ...manifest, format: 2 }));
  const { code, stderr } = await serveRefusal({ dataDir });
  assert.equal(code, 1);
  assert.match(stderr, /has format 2; this version reads up to 1/);
});

test('another backend on a folder with messages is refused in words', async () => {
  const dataDir = copyOf(base.dataDir);
  const refusal = await serveRefusal({ dataDir, backend: 'kafka', kafkaBrokers: '127.0.0.1:1' });
  assert.equal(refusal.code, 1);
  assert.match(refusal.stderr, /belongs to the embedded backend[\s\S]*--backend embedded/);
});

import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf, messageOf } from '../../src/base/errors.ts';
import type { LaneStore, WindowPut } from '../../src/store/lane-store.ts';
import { openLaneStore } from '../../src/store/open-lane-store.ts';
import { copyOf, filesBelow, flipBit } from '../support/data-dir.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { tempDir } from '../support/temp-dir.ts';
import { batchOf, crc32c, drivers, unconfirmedOf } from '../unit/store/support.ts';

// The outbox of one lane, opened in this process, so that many cases are cheap; test/fault/damage
// does the same to whole nodes.
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
/** So many damages at least, of all files in turn. */
const wanted = countOf('MQP_CORRUPTIONS', isLong ? 300 : 60);
const batches = 60;
const lane = 3;

function open(folder: string): Promise<LaneStore> {
  const driver = drivers[0];
  return openLaneStore({
    folder,
    lane,
    clock: systemClock,
    crc32c,
    checkpointBatches: 20,
    ...(driver && { driver }),
  });
}

/** A window of these tests: its producer, and how far it got. */
function windowPut(producerId: bigint, highest: number): WindowPut {
  const key = Buffer.alloc(8);
  key.writeBigUInt64BE(producerId);
  return { key, value: Buffer.from(`up to ${highest}`) };
}

/** Batches of one to five messages; every third is confirmed, some are put aside. */
async function fill(store: LaneStore, from: number, to: number): Promise<void> {
  let next = 1;
  for (let i = 0; i < to; i++) {
    const count = 1 + (i % 5);
    if (i >= from) {
      const sequence = store.nextSequence;
      const windowPuts = store.checkpointDue ? [windowPut(7n, next - 1)] : undefined;
      const request = batchOf([{ producerId: 7n, firstSequence: next, count }], 200);
      await store.append({ ...request, ...(windowPuts && { windowPuts }) });
      if (i % 3 === 0) store.confirm(sequence, count);
      const log = i % 10 === 1 ? 'undeliverable' : i % 10 === 4 ? 'parked' : undefined;
      if (log !== undefined) {
        await store.aside.put(log, [{ sequence, code: 'MESSAGE_TOO_LARGE', reason: `of ${i}` }]);
      }
    }
    next += count;
  }
}

/** Everything that a lane is opened for, as text. */
async function contentsOf(store: LaneStore) {
  const windows: string[] = [];
  for await (const { key, value } of store.windows())
    windows.push(`${key.toString('hex')} ${value.toString()}`);
  const headers: string[] = [];
  for await (const header of store.headersSinceCheckpoint())
    headers.push(`${header.firstSequence} ${header.messages} ${header.crc}`);
  const aside: string[] = [];
  for (const log of ['undeliverable', 'parked'] as const) {
    for await (const { sequence, producerSequence, code, reason, body } of store.aside.entries(log))
      aside.push(`${log} ${sequence} ${producerSequence} ${code} ${reason} ${body.toString()}`);
  }
  return { unconfirmed: await unconfirmedOf(store), windows, headers, aside };
}
type Contents = Awaited<ReturnType<typeof contentsOf>>;

/** A lane with tables, a log and confirmed batches; `older` is how it was half-way. */
async function makeLanes(): Promise<{ folder: string; older: string; expected: Contents }> {
  const folder = join(tempDir('mqproxy-corrupt-'), String(lane));
  for (const [from, to] of [
    [0, batches / 4],
    [batches / 4, batches / 2],
  ] as const) {
    const store = await open(folder);
    await fill(store, from, to);
    await store.close();
  }
  const older = copyOf(folder);
  const store = await open(folder);
  await fill(store, batches / 2, batches);
  await store.close();
  const whole = await open(copyOf(folder));
  const expected = await contentsOf(whole);
  await whole.close();
  assert.deepEqual(expected.windows.length, 1);
  assert(expected.headers.length > 0, 'headers that are not folded into a window yet');
  for (const log of ['undeliverable', 'parked'])
    assert(expected.aside.filter((entry) => entry.startsWith(log)).length > 3);
  return { folder, older, expected };
}

const kinds = ['flip', 'truncate', 'missing', 'older'] as const;
type Kind = (typeof kinds)[number];

/** Damages one file; answers in words what was done, or nothing when there was nothing to do. */
function damage(copy: string, older: string, file: string, kind: Kind, random: Seeded) {
  const path = join(copy, file);
  const { size } = statSync(path);
  if (kind === 'missing') rmSync(path);
  else if (kind === 'older') {
    if (!existsSync(join(older, file))) return undefined;
    cpSync(join(older, file), path);
  } else if (size === 0) return undefined;
  else if (kind === 'truncate') {
    const to = random.below(size);
    truncateSync(path, to);
    return `${file} cut from ${size} to ${to} bytes`;
  } else {
    const bit = random.below(size * 8);
    flipBit(path, bit);
    return `bit ${bit} of ${file} (${size} bytes) flipped`;
  }
  return `${file} ${kind}`;
}

/** The store opens with everything in it, or says what is wrong and where. */
async function refusedOrExact(folder: string, expected: Contents, what: string) {
  let store: LaneStore | undefined;
  try {
    store = await open(folder);
    assert.deepEqual(await contentsOf(store), expected, `${what}: served, but not what it held`);
    return 'exact';
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    assert.equal(codeOf(error), 'STORE_CORRUPT', `${what}: ${messageOf(error)}`);
    assert.match(messageOf(error), /^lane 3: expected .+ found/s, what);
    return 'refused';
  } finally {
    await store?.close().catch(() => {});
  }
}

test(`each file of an outbox, damaged in each way, ${wanted} times in all, is refused with what and where, or exact`, async () => {
  console.log(`seed=${seed}`);
  const random = new Seeded(seed);
  const { folder, older, expected } = await makeLanes();
  const files = filesBelow(folder);
  const seen = new Map<string, number>();
  let cases = 0;
  const once = async (file: string, kind: Kind): Promise<void> => {
    const copy = copyOf(folder);
    const what = damage(copy, older, file, kind, random);
    if (what !== undefined) {
      const outcome = `${kind}-${await refusedOrExact(copy, expected, `seed=${seed} ${what}`)}`;
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
      cases++;
    }
    rmSync(copy, { recursive: true });
  };
  for (let round = 0; round === 0 || cases < wanted; round++) {
    // What is missing or older is so in one way.
    for (const kind of round === 0 ? kinds : (['flip', 'truncate'] as const))
      for (const file of files) await once(file, kind);
  }
  console.log(`cases=${cases} ${[...seen].map((pair) => pair.join('=')).join(' ')}`);
  for (const kind of kinds)
    assert((seen.get(`${kind}-refused`) ?? 0) > 0, `no ${kind} was refused`);
});

test('the undamaged outbox is exact, and the copy of half-way is refused with the new mark', async () => {
  const { folder, older, expected } = await makeLanes();
  assert.equal(await refusedOrExact(copyOf(folder), expected, 'undamaged'), 'exact');
  const copy = copyOf(older);
  cpSync(join(folder, 'mark'), join(copy, 'mark'));
  assert(readFileSync(join(copy, 'mark')).length > 0);
  assert.equal(await refusedOrExact(copy, expected, 'half-way'), 'refused');
});

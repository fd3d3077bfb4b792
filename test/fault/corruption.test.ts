import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf, messageOf } from '../../src/base/errors.ts';
import type { LaneStore } from '../../src/store/lane-store.ts';
import { openLaneStore } from '../../src/store/open-lane-store.ts';
import { copyOf, filesBelow, flipBit } from '../support/data-dir.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { tempDir } from '../support/temp-dir.ts';
import { batchOf, crc32c, drivers, unconfirmedOf } from '../unit/store/support.ts';

// The outbox of one lane, opened in this process, so that many cases are cheap; test/fault/damage
// does the same to whole nodes.
const cases = countOf('MQP_CORRUPTIONS', process.env['MQPROXY_TEST_SCALE'] === 'long' ? 300 : 60);
const batches = 60;
const lane = 3;

function open(folder: string): Promise<LaneStore> {
  const driver = drivers[0];
  return openLaneStore({ folder, lane, clock: systemClock, crc32c, ...(driver && { driver }) });
}

/** Batches of one to five messages; every third is confirmed. */
async function fill(store: LaneStore, from: number, to: number): Promise<void> {
  let next = 1;
  for (let i = 0; i < to; i++) {
    const count = 1 + (i % 5);
    if (i >= from) {
      const first = store.nextSequence;
      await store.append(batchOf([{ producerId: 7n, firstSequence: next, count }], 200));
      if (i % 3 === 0) store.confirm(first, count);
    }
    next += count;
  }
}

/** A lane with tables, a log and confirmed batches; `older` is how it was half-way. */
async function makeLanes(): Promise<{ folder: string; older: string; expected: string[] }> {
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
  const expected = await unconfirmedOf(store);
  await store.close();
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
async function refusedOrExact(folder: string, expected: string[], what: string) {
  let store: LaneStore | undefined;
  try {
    store = await open(folder);
    assert.deepEqual(await unconfirmedOf(store), expected, `${what}: served, but not what it held`);
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

test(`${cases} damaged outboxes are refused with what and where, or exact`, async () => {
  console.log(`seed=${seed} cases=${cases}`);
  const random = new Seeded(seed);
  const { folder, older, expected } = await makeLanes();
  const files = filesBelow(folder);
  const seen = new Map<string, number>();
  for (let done = 0; done < cases; ) {
    for (const kind of random.shuffle(kinds)) {
      const copy = copyOf(folder);
      const what = damage(copy, older, random.pick(files), kind, random);
      if (what !== undefined) {
        const outcome = `${kind}-${await refusedOrExact(copy, expected, `seed=${seed} ${what}`)}`;
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
        done++;
      }
      rmSync(copy, { recursive: true });
    }
  }
  console.log([...seen].map((pair) => pair.join('=')).join(' '));
  for (const kind of ['flip', 'truncate', 'missing'])
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

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchHeaderBuilder, SEGMENT_PASSED } from '../../../src/store/batch-header.ts';
import { entriesOf } from '../../../src/store/batch-reader.ts';
import type { KeyRange, KeyValueEntry, KeyValueStore } from '../../../src/store/key-value-store.ts';
import { headerKey, payloadKey } from '../../../src/store/keys.ts';
import type { AsideEntry, Refusal } from '../../../src/store/lane-store.ts';
import { fc } from '../../support/fast-check.ts';
import { crc32c, payloadOf, type TestMessage } from './support.ts';

interface TestSegment {
  readonly producerId: bigint;
  readonly firstSequence: number;
  readonly messages: readonly TestMessage[];
}

const TOPICS = ['orders', 'payments'];
const ACCEPTED_MS = 1_700_000_000_000;
const FAILED_MS = ACCEPTED_MS + 9;
const EPOCH = 3;

/** Batches one after the other, and the entries that their messages should give. */
class Outbox implements Pick<KeyValueStore, 'get' | 'iterate'> {
  readonly expected: Omit<AsideEntry, keyof Refusal>[] = [];
  /** Batches that were read. */
  reads = 0;
  /** Heads of records that were read. */
  heads = 0;
  readonly #headers: { readonly key: Buffer; readonly value: Buffer }[] = [];
  readonly #payloads = new Map<string, Buffer>();

  /** Sequences begin at 1. */
  append(segments: readonly TestSegment[]): void {
    const first = this.expected.length + 1;
    const builder = new BatchHeaderBuilder();
    builder.reset(ACCEPTED_MS);
    for (const [i, name] of TOPICS.entries()) builder.addTopic({ id: i + 1, name });
    for (const { producerId, firstSequence, messages } of segments) {
      const count = messages.length;
      const flags = count === 0 ? SEGMENT_PASSED : 0;
      builder.addSegment({ producerId, epoch: EPOCH, flags, count, firstSequence });
      for (const [i, { topic, flags: messageFlags, body }] of messages.entries()) {
        this.expected.push({
          failedMs: FAILED_MS,
          acceptedMs: ACCEPTED_MS,
          producerId,
          epoch: EPOCH,
          producerSequence: firstSequence + i,
          topic: TOPICS[topic - 1] ?? `#${topic}`,
          flags: messageFlags,
          body,
        });
      }
    }
    const payload = payloadOf(segments.flatMap(({ messages }) => messages));
    const seal = { previousCrc: 0, payloadBytes: payload.length, payloadCrc: crc32c(payload) };
    const header = builder.finish({ ...seal, firstSequence: first }, crc32c);
    this.#headers.push({ key: headerKey(first), value: Buffer.from(header) });
    const read = payload.readUInt32LE.bind(payload);
    payload.readUInt32LE = (at) => {
      this.heads++;
      return read(at);
    };
    this.#payloads.set(payloadKey(first).toString('hex'), payload);
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    this.reads++;
    return this.#payloads.get(key.toString('hex'));
  }

  async *iterate(range: KeyRange): AsyncGenerator<KeyValueEntry> {
    const before = this.#headers.filter(({ key }) => Buffer.compare(key, range.to) < 0);
    yield* before.slice(-1);
  }

  entries(refusals: readonly Refusal[]): Promise<AsideEntry[]> {
    const how = { now: FAILED_MS, wants: () => true };
    return entriesOf({ kv: this as unknown as KeyValueStore, crc32c }, refusals, how);
  }
}

function refusalOf(sequence: number): Refusal {
  return { sequence, code: 'MESSAGE_TOO_LARGE', reason: `of ${sequence}` };
}

const message = fc.record({
  topic: fc.integer({ min: 1, max: 3 }),
  flags: fc.integer({ min: 0, max: 15 }),
  body: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
});
const segment = fc.record({
  producerId: fc.bigInt({ min: 1n, max: 5n }),
  firstSequence: fc.nat(1_000),
  messages: fc.array(message, { maxLength: 6 }),
});
const batches = fc.array(fc.array(segment, { maxLength: 6 }), { maxLength: 6 });

test('an entry is its own message whatever the batches are and whichever are asked for', async () => {
  const property = fc.asyncProperty(batches, fc.infiniteStream(fc.nat()), async (all, drawn) => {
    const outbox = new Outbox();
    for (const segments of all) {
      if (segments.some(({ messages }) => messages.length > 0)) outbox.append(segments);
    }
    const count = outbox.expected.length;
    fc.pre(count > 0);
    const asked = [...drawn.take(count)].map((n) => refusalOf((n % count) + 1));
    const found = new Map<number, AsideEntry>();
    for (const entry of await outbox.entries(asked)) found.set(entry.sequence, entry);
    const wanted = asked.map((refusal) => {
      return { ...refusal, ...outbox.expected[refusal.sequence - 1] };
    });
    assert.deepEqual(
      asked.map(({ sequence }) => found.get(sequence)),
      wanted,
    );
  });
  await fc.assert(property, { numRuns: 300 });
});

test('each batch is read once and each of its records walked once, in whatever order they are asked for', async () => {
  const outbox = new Outbox();
  const body = Buffer.from('body');
  for (let batch = 0; batch < 4; batch++) {
    outbox.append(
      Array.from({ length: 100 }, (_, i) => ({
        producerId: BigInt(i + 1),
        firstSequence: 1,
        messages: new Array<TestMessage>(5).fill({ topic: 1, flags: 0, body }),
      })),
    );
  }
  // Of all four in turn: verdicts come by partition, not by batch.
  const asked: Refusal[] = [];
  for (let i = 0; i < 500; i++) {
    for (let batch = 0; batch < 4; batch++) asked.push(refusalOf(batch * 500 + i + 1));
  }
  assert.equal((await outbox.entries(asked)).length, 2_000);
  assert.deepEqual([outbox.reads, outbox.heads], [4, 2_000]);
});

test('a sequence that no batch holds is a corrupt store', async () => {
  const outbox = new Outbox();
  await assert.rejects(outbox.entries([refusalOf(1)]), { code: 'STORE_CORRUPT' });
  const body = Buffer.from('body');
  outbox.append([{ producerId: 1n, firstSequence: 1, messages: [{ topic: 1, flags: 0, body }] }]);
  await assert.rejects(outbox.entries([refusalOf(2)]), { code: 'STORE_CORRUPT' });
});

import { coded } from '../base/errors.ts';
import { type BatchHeader, type Crc32c, decodeBatchHeader, hex } from './batch-header.ts';
import { joinBatches } from './batch-join.ts';
import type { BatchLedger } from './batch-ledger.ts';
import type { KeyValueStore } from './key-value-store.ts';
import { headerKey, payloadKey, sequenceOfKey } from './keys.ts';
import type { AsideEntry, BatchRead, Refusal, StoredBatch } from './lane-store.ts';
import { BatchCursor } from './undeliverable.ts';

/** Where batches are read, and who is told of them. */
export interface BatchSource {
  readonly kv: KeyValueStore;
  readonly crc32c: Crc32c;
  readonly ledger: BatchLedger;
}

/** Most messages of a batch: how far before a sequence its batch can begin. */
const BATCH_MESSAGES_MAX = 65_536;
const READ_AHEAD_BYTES = 1024 * 1024;

/** Unconfirmed batches from a sequence on, their payloads checked. */
export async function readBatches(
  source: BatchSource,
  range: { fromSequence: number; to: number; bytesMax: number },
): Promise<BatchRead> {
  const { ledger } = source;
  const from = await startOf(source, Math.max(range.fromSequence, ledger.merger.floor));
  const batches: StoredBatch[] = [];
  let bytes = 0;
  const readAheadBytes = Math.min(range.bytesMax, READ_AHEAD_BYTES);
  for await (const joined of joinBatches(source.kv, { from, to: range.to, readAheadBytes })) {
    if (joined.header === undefined) continue;
    const header = decodeBatchHeader(joined.header, source.crc32c);
    const { firstSequence, messages, acceptedMs, payloadBytes } = header;
    if (payloadBytes === 0) continue;
    const size = joined.header.length + payloadBytes;
    const left = ledger.loaded({ firstSequence, messages, acceptedMs, bytes: size });
    if (left === 0) continue;
    if (batches.length > 0 && bytes + payloadBytes > range.bytesMax) {
      return { batches, nextSequence: firstSequence };
    }
    const payload = checkedPayload(header, joined.payload, source.crc32c);
    batches.push({ header, firstSequence, messages, payload, confirmed: messages - left });
    bytes += payloadBytes;
    if (bytes >= range.bytesMax) return { batches, nextSequence: firstSequence + messages };
  }
  return { batches, nextSequence: range.to };
}

/** How messages are read as they are put aside. */
export interface PutAside {
  /** When that is. */
  readonly now: number;
  /** Asked before and after each read: a batch of which nothing is wanted may go meanwhile. */
  wants(refusal: Refusal): boolean;
}

/**
 * Messages, read from their batches, as they are put aside; each batch is read once. Throws
 * `STORE_CORRUPT` when one that is wanted is not there.
 */
export async function entriesOf(
  source: Pick<BatchSource, 'kv' | 'crc32c'>,
  refusals: readonly Refusal[],
  { now, wants }: PutAside,
): Promise<AsideEntry[]> {
  const entries: AsideEntry[] = [];
  let batch: BatchCursor | undefined;
  for (const refusal of refusals.toSorted((a, b) => a.sequence - b.sequence)) {
    const { sequence } = refusal;
    if (!wants(refusal)) continue;
    if (batch?.holds(sequence) !== true) batch = await findBatch(source, sequence);
    if (!wants(refusal)) continue;
    if (batch === undefined) {
      throw coded('STORE_CORRUPT', `expected the batch of sequence ${sequence}, found none`);
    }
    entries.push(batch.entryOf(refusal, now));
  }
  return entries;
}

/** The batch that holds a sequence, if it is there whole. */
async function findBatch(
  { kv, crc32c }: Pick<BatchSource, 'kv' | 'crc32c'>,
  sequence: number,
): Promise<BatchCursor | undefined> {
  for await (const { value } of kv.iterate(
    { from: headerKey(0), to: headerKey(sequence + 1) },
    { reverse: true, limit: 1 },
  )) {
    const header = decodeBatchHeader(value, crc32c);
    const { firstSequence, messages } = header;
    if (sequence >= firstSequence + messages) break;
    const payload = await kv.get(payloadKey(firstSequence));
    if (payload === undefined) break;
    return new BatchCursor(header, checkedPayload(header, payload, crc32c));
  }
  return undefined;
}

/**
 * Frees the batches in a range that were confirmed while the ledger did not know them. No
 * deletion may be in flight meanwhile: what is on the disk and not waiting to be deleted is live.
 */
export async function adoptConfirmed(
  source: BatchSource,
  range: { from: number; to: number },
): Promise<void> {
  const { ledger } = source;
  const from = await startOf(source, range.from);
  const freed = new Set<number>();
  let seen = 0;
  for await (const { value } of source.kv.iterate({
    from: headerKey(from),
    to: headerKey(range.to),
  })) {
    for (; seen < ledger.free.length; seen++) freed.add(ledger.free[seen]?.firstSequence ?? 0);
    const header = decodeBatchHeader(value, source.crc32c);
    const { firstSequence, messages, acceptedMs, payloadBytes } = header;
    if (payloadBytes === 0 || ledger.find(firstSequence) !== undefined) continue;
    if (ledger.merger.countConfirmed(firstSequence, messages) < messages) continue;
    if (freed.has(firstSequence)) continue;
    if ((await source.kv.get(payloadKey(firstSequence))) === undefined) continue;
    // The await gave others a turn: what they freed is in the list now.
    if (ledger.free.slice(seen).some((batch) => batch.firstSequence === firstSequence)) continue;
    ledger.release({
      firstSequence,
      messages,
      acceptedMs,
      bytes: value.length + payloadBytes,
      left: 0,
    });
  }
}

/** Where the batch begins that holds a sequence; the sequence itself when none does. */
async function startOf(source: BatchSource, sequence: number): Promise<number> {
  const from = Math.max(0, sequence - BATCH_MESSAGES_MAX + 1);
  for await (const { key, value } of source.kv.iterate(
    { from: headerKey(from), to: headerKey(sequence + 1) },
    { reverse: true, limit: 1 },
  )) {
    const header = decodeBatchHeader(value, source.crc32c);
    if (header.firstSequence + header.messages > sequence) return sequenceOfKey(key);
  }
  return sequence;
}

function checkedPayload(header: BatchHeader, payload: Buffer | undefined, crc32c: Crc32c): Buffer {
  const name = `the payload of sequence ${header.firstSequence}`;
  if (payload === undefined) throw coded('STORE_CORRUPT', `expected ${name}, found none`);
  const crc = crc32c(payload);
  if (payload.length !== header.payloadBytes || crc !== header.payloadCrc) {
    throw coded(
      'STORE_CORRUPT',
      `expected ${name} with ${header.payloadBytes} bytes and the CRC ${hex(header.payloadCrc)}, ` +
        `found ${payload.length} bytes and ${hex(crc)}`,
    );
  }
  return payload;
}

import { type CodedError, coded, codeOf, messageOf } from '../base/errors.ts';
import { CHUNK_SEQUENCES } from '../offsets/bits.ts';
import { OffsetMerger } from '../offsets/offset-merger.ts';
import { type BatchHeader, type Crc32c, decodeBatchHeader, hex } from './batch-header.ts';
import { joinBatches } from './batch-join.ts';
import { BatchLedger } from './batch-ledger.ts';
import type { KeyValueChunkLog } from './chunk-log.ts';
import type { MarkState } from './high-water-mark.ts';
import { type AsideTotals, countAside } from './key-value-aside-log.ts';
import type { KeyValueStore } from './key-value-store.ts';
import { ANCHOR_KEY, FLOOR_KEY, kindRange, readU64, sequenceOfKey, unsealed } from './keys.ts';

/** What a proven store holds. */
export interface Recovered {
  readonly ledger: BatchLedger;
  /** End of the chain. */
  readonly reached: MarkState;
  /** Where the chain of headers begins. */
  readonly anchor: MarkState;
  readonly headersSinceAnchor: number;
  /** Headers since the anchor that only wait for the next checkpoint. */
  readonly foldable: number[];
  readonly aside: AsideTotals;
  readonly oldestAcceptedMs: number | undefined;
}

/** What is proven, and against what. */
export interface RecoverySource {
  readonly kv: KeyValueStore;
  readonly chunks: KeyValueChunkLog;
  readonly lane: number;
  readonly crc32c: Crc32c;
  readonly mark: MarkState;
}

export const FIRST_SEQUENCE = 1;
const READ_AHEAD_BYTES = 1024 * 1024;

/**
 * Proves a store: the anchor, headers without a gap and chained up to the high-water mark, and the
 * payload of every unconfirmed batch. Throws `STORE_CORRUPT` with lane, expected and found.
 */
export async function recover(source: RecoverySource): Promise<Recovered> {
  try {
    const anchor = await readAnchor(source);
    const merger = await readConfirmed(source);
    const aside = await countAside(source, (sequence) => merger.confirm(sequence, 1));
    await source.chunks.prove();
    const walk = new Walk(source, anchor, new BatchLedger(merger));
    const to = Number.MAX_SAFE_INTEGER;
    for await (const { sequence, header, payload } of joinBatches(source.kv, {
      from: 0,
      to,
      readAheadBytes: READ_AHEAD_BYTES,
    })) {
      if (header === undefined) walk.orphan(sequence);
      else walk.batch(sequence, decodeBatchHeader(header, source.crc32c), header.length, payload);
    }
    return { ...walk.finish(), anchor, aside };
  } catch (error) {
    throw asCorrupt(source.lane, error);
  }
}

/** Anything that went wrong while reading, as the lane's `STORE_CORRUPT`. */
export function asCorrupt(lane: number, error: unknown): CodedError {
  const message = messageOf(error);
  const prefix = message.startsWith(`lane ${lane}:`) ? '' : `lane ${lane}: `;
  const what =
    codeOf(error) === 'STORE_CORRUPT' ? message : `expected a readable store, found: ${message}`;
  return coded('STORE_CORRUPT', `${prefix}${what}`, {
    cause: error,
    hint: 'mqproxy outbox verify shows what is left; nothing was changed',
  });
}

async function readAnchor(source: RecoverySource): Promise<MarkState> {
  const value = await source.kv.get(ANCHOR_KEY);
  if (value === undefined) {
    if (source.mark.nextSequence === FIRST_SEQUENCE) return source.mark;
    throw coded(
      'STORE_CORRUPT',
      `lane ${source.lane}: expected the anchor of the chain, found none`,
    );
  }
  const body = unsealed(ANCHOR_KEY, value, source.crc32c);
  return { nextSequence: readU64(body, 0), lastCrc: readU64(body, 8) };
}

async function readConfirmed(source: RecoverySource): Promise<OffsetMerger> {
  const { kv, crc32c } = source;
  const value = await kv.get(FLOOR_KEY);
  const floor =
    value === undefined ? FIRST_SEQUENCE : readU64(unsealed(FLOOR_KEY, value, crc32c), 0);
  const merger = new OffsetMerger(floor);
  for await (const entry of kv.iterate(kindRange('f'))) {
    const chunk = sequenceOfKey(entry.key);
    // A chunk that ends below the floor says nothing any more.
    if ((chunk + 1) * CHUNK_SEQUENCES > floor)
      merger.load(chunk, unsealed(entry.key, entry.value, crc32c));
  }
  return merger;
}

/** Walks over the batches in order and compares each with what must be there. */
class Walk {
  readonly #source: RecoverySource;
  readonly #anchor: MarkState;
  readonly #ledger: BatchLedger;
  readonly #foldable: number[] = [];
  /** Everything before it was seen, or is confirmed. */
  #covered: number;
  #reached: MarkState;
  #headers = 0;
  #markMet: boolean;
  #oldestMs: number | undefined;

  constructor(source: RecoverySource, anchor: MarkState, ledger: BatchLedger) {
    this.#source = source;
    this.#anchor = anchor;
    this.#ledger = ledger;
    this.#covered = FIRST_SEQUENCE;
    this.#reached = anchor;
    this.#markMet = source.mark.nextSequence < anchor.nextSequence;
    this.#meetMark();
  }

  /** A payload without a header is a leftover of a deletion, or a loss. */
  orphan(sequence: number): void {
    const { merger } = this.#ledger;
    if (!merger.isConfirmed(sequence))
      this.#refuse(`the header of sequence ${sequence}`, 'its payload only');
    this.#ledger.count(0);
    this.#ledger.release({
      firstSequence: sequence,
      messages: 0,
      bytes: 0,
      acceptedMs: 0,
      left: 0,
    });
  }

  batch(sequence: number, header: BatchHeader, bytes: number, payload: Buffer | undefined): void {
    const { messages, firstSequence } = header;
    if (firstSequence !== sequence) {
      this.#refuse(`the header of sequence ${sequence}`, `that of ${firstSequence} in its place`);
    }
    if (sequence < this.#anchor.nextSequence) this.#cover(sequence);
    else this.#link(header);
    this.#covered = sequence + messages;
    const left = messages - this.#ledger.merger.countConfirmed(sequence, messages);
    const batch = {
      firstSequence: sequence,
      messages,
      bytes: bytes + header.payloadBytes,
      acceptedMs: header.acceptedMs,
      left: header.payloadBytes === 0 ? 0 : left,
    };
    if (header.payloadBytes > 0 && left > 0) {
      this.#provePayload(header, payload);
      this.#oldestMs ??= header.acceptedMs;
      this.#ledger.count(batch.bytes);
    } else if (payload !== undefined || sequence < this.#anchor.nextSequence) {
      this.#ledger.count(batch.bytes);
      this.#ledger.release(batch);
    } else {
      this.#foldable.push(sequence);
    }
    // A batch that kept nothing to be sent counts as confirmed, whatever was written of it.
    if (header.payloadBytes === 0 && left > 0) this.#ledger.merger.confirm(sequence, messages);
  }

  finish(): Omit<Recovered, 'anchor' | 'aside'> {
    if (this.#covered < this.#anchor.nextSequence) this.#cover(this.#anchor.nextSequence);
    const { mark } = this.#source;
    if (!this.#markMet) {
      this.#refuse(
        `headers up to sequence ${mark.nextSequence - 1}, which the high-water mark has seen`,
        `the last one ending at ${this.#reached.nextSequence - 1}`,
      );
    }
    return {
      ledger: this.#ledger,
      reached: this.#reached,
      headersSinceAnchor: this.#headers,
      foldable: this.#foldable,
      oldestAcceptedMs: this.#oldestMs,
    };
  }

  /** Before the anchor only unconfirmed batches are kept: what lies between must be confirmed. */
  #cover(to: number): void {
    const { merger } = this.#ledger;
    const from = Math.max(this.#covered, Math.min(merger.floor, to));
    if (this.#covered > to) this.#refuse(`a batch at ${this.#covered}`, `one that begins at ${to}`);
    if (merger.countConfirmed(from, to - from) === to - from) return;
    let missing = from;
    while (merger.isConfirmed(missing)) missing++;
    this.#refuse(`the batch of sequence ${missing}, which is not confirmed`, `none before ${to}`);
  }

  #link(header: BatchHeader): void {
    if (this.#covered < this.#anchor.nextSequence) this.#cover(this.#anchor.nextSequence);
    const { nextSequence, lastCrc } = this.#reached;
    if (header.firstSequence !== nextSequence) {
      this.#refuse(
        `the header of sequence ${nextSequence}`,
        `that of ${header.firstSequence} next`,
      );
    }
    if (header.previousCrc !== lastCrc) {
      this.#refuse(
        `the header of sequence ${nextSequence} chained to ${hex(lastCrc)}`,
        `it chained to ${hex(header.previousCrc)}`,
      );
    }
    this.#reached = { nextSequence: nextSequence + header.messages, lastCrc: header.crc };
    this.#headers++;
    this.#meetMark();
    for (const chunk of header.chunks) this.#source.chunks.proveNamed(chunk);
  }

  #meetMark(): void {
    const { mark } = this.#source;
    if (this.#reached.nextSequence !== mark.nextSequence) return;
    if (this.#reached.lastCrc !== mark.lastCrc) {
      this.#refuse(
        `the header before sequence ${mark.nextSequence} with the CRC ${hex(mark.lastCrc)} of the mark`,
        hex(this.#reached.lastCrc),
      );
    }
    this.#markMet = true;
  }

  #provePayload(header: BatchHeader, payload: Buffer | undefined): void {
    const name = `the payload of sequence ${header.firstSequence}`;
    if (payload === undefined) this.#refuse(name, 'none');
    if (payload.length !== header.payloadBytes) {
      this.#refuse(`${name} with ${header.payloadBytes} bytes`, `${payload.length}`);
    }
    const crc = this.#source.crc32c(payload);
    if (crc !== header.payloadCrc) {
      this.#refuse(`${name} with the CRC ${hex(header.payloadCrc)}`, hex(crc));
    }
  }

  #refuse(expected: string, found: string): never {
    throw coded('STORE_CORRUPT', `lane ${this.#source.lane}: expected ${expected}, found ${found}`);
  }
}

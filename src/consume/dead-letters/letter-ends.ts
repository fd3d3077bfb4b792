import type { MessageId } from '../../../protocol/src/message-id.ts';
import type { ConsumerBackend, TopicPartition } from '../../backend/consumer-port.ts';
import type { Clock } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { NotedRecords } from '../copies/dedupe.ts';
import { IdReader } from '../copies/id-reader.ts';

// [P-7.2] of a record: ... flags:u8 (0x40: id follows) producer:u64 epoch:u16 sequence:u48 ...
const ID_FLAG = 0x40;
const FLAGS_AT = 20;
const ID_AT = 21;
const ID_BYTES = 16;

/** A failed message waits no longer for the letters before it, in ms. */
const WAIT_MS = 10_000;

/** Ids of the last letters of one partition. */
export class LetterIds {
  readonly #ids = new Set<string>();

  /** Notes the ids of a read. */
  note({ records, starts, count }: NotedRecords): number {
    for (let i = 0; i < count; i++) {
      const start = starts[i] as number;
      if (((records[start + FLAGS_AT] as number) & ID_FLAG) === 0) continue;
      this.#ids.add(records.toString('latin1', start + ID_AT, start + ID_AT + ID_BYTES));
    }
    return 0;
  }

  has({ producerId, epoch, sequence }: MessageId): boolean {
    const bytes = Buffer.alloc(ID_BYTES);
    bytes.writeBigUInt64BE(producerId, 0);
    bytes.writeUInt16BE(epoch, 8);
    bytes.writeUIntBE(sequence, 10, 6);
    return this.#ids.has(bytes.toString('latin1'));
  }
}

interface End {
  readonly readMs: number;
  readonly ids: LetterIds;
}

/**
 * The ends of one cluster's topics of dead letters, as they were read last. An owner that died
 * between the move of a message and the commit of its ack has left a letter there, which the next
 * owner need not write again.
 */
export class LetterEnds {
  readonly #backend: Pick<ConsumerBackend, 'cluster' | 'tail' | 'span'>;
  readonly #clock: Clock;
  readonly #reader: IdReader;
  readonly #ends = new Map<string, End>();

  constructor(backend: Pick<ConsumerBackend, 'cluster' | 'tail' | 'span'>, clock: Clock) {
    this.#backend = backend;
    this.#clock = clock;
    this.#reader = new IdReader(backend, clock);
  }

  /**
   * Ids of the last letters of a partition, as they were at `sinceMs` (monotonic) or later, as they
   * are now when that is infinite; none
   * or some where they cannot be read now: a second copy is allowed.
   */
  async since(place: TopicPartition, sinceMs: number): Promise<LetterIds> {
    const key = `${place.topic}/${place.partition}`;
    const known = this.#ends.get(key);
    if (known !== undefined && known.readMs >= sinceMs) return known.ids;
    const ids = new LetterIds();
    const readMs = this.#clock.monotonic();
    try {
      const { endOffset } = await this.#backend.span(place);
      const idsMax = limits.deadEndIdsMax;
      const options = { idsMax, waitMs: WAIT_MS };
      if (!(await this.#reader.before(place, endOffset, ids, options))) return ids;
    } catch {
      return ids;
    }
    this.#ends.delete(key);
    this.#ends.set(key, { readMs, ids });
    const [oldest] = this.#ends.keys();
    if (this.#ends.size > limits.deadEndsMax && oldest !== undefined) this.#ends.delete(oldest);
    return ids;
  }
}

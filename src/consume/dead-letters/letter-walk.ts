import {
  DEAD_HEADER_NAME,
  type DeadHeader,
  decodeDeadHeader,
} from '../../../protocol/src/dead-header.ts';
import type { MessageHeader } from '../../../protocol/src/message-headers.ts';
import { formatMessageId } from '../../../protocol/src/message-id.ts';
import { RecordCursor } from '../../../protocol/src/record-cursor.ts';
import type { Cluster } from '../../backend/consumer-port.ts';
import {
  type PartitionOffsets,
  type TailRequest,
  type TailResult,
  tailFrom,
} from '../../backend/port.ts';
import { codeOf } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { deadIdOf } from '../retry/dead-record.ts';

/** Where dead letters are read. */
export interface LetterSource {
  readonly cluster: Cluster;
  /** @throws UNKNOWN_TOPIC, OFFSET_OUT_OF_RANGE */
  tail(request: TailRequest): Promise<TailResult>;
  /** @throws UNKNOWN_TOPIC */
  offsets(topic: string): Promise<PartitionOffsets[]>;
}

/** Which dead letters were dealt with. */
export interface Dealt {
  has(partition: number, offset: number): boolean;
}

/** A dead letter as it lies in its topic. */
export interface Letter {
  readonly cluster: Cluster;
  readonly partition: number;
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly MessageHeader[];
  readonly dead: DeadHeader;
}

/** What one read gave. */
export interface LetterPage {
  readonly partition: number;
  /** Records looked at, of whatever kind. */
  readonly scanned: number;
  /** Dead letters of the group and topic that are not dealt with, each id once. */
  readonly letters: readonly Letter[];
  /** Offsets of later copies of what is dealt with. */
  readonly copies: readonly number[];
  /** The first record that is no dead letter of this group and topic. */
  readonly foreign: number | undefined;
  /** Where the next page of the partition begins. */
  readonly nextOffset: number;
}

export interface LetterWalkOptions {
  readonly source: LetterSource;
  /** The topic of the dead letters. */
  readonly dlq: string;
  readonly group: string;
  /** The topic that they come from. */
  readonly topic: string;
  readonly dealt: Dealt;
}

/**
 * Reads the dead letters of one cluster from the first to those that were the last when it began.
 * Copies of one letter, which a crash in the move leaves, are told by the message that they are of.
 */
export class LetterWalk {
  readonly #options: LetterWalkOptions;
  #partitions: PartitionOffsets[] | undefined;
  #index = 0;
  #offset = 0;
  /** Letters that were met, by their origin, and whether they are dealt with. */
  readonly #seen = new Map<string, boolean>();

  constructor(options: LetterWalkOptions) {
    this.#options = options;
  }

  /** The next page, perhaps an empty one; undefined at the end. @throws BACKEND_UNAVAILABLE */
  async next(): Promise<LetterPage | undefined> {
    const partitions = await this.#known();
    for (;;) {
      const at = partitions[this.#index];
      if (at === undefined) return undefined;
      this.#offset = Math.max(this.#offset, at.startOffset);
      if (this.#offset < at.endOffset) {
        const page = await this.#read(at);
        if (page !== undefined) return page;
      }
      this.#index += 1;
      this.#offset = 0;
    }
  }

  /** Says that a letter was dealt with, so that copies of it that follow are, too. */
  deal({ dead }: Letter): void {
    this.#seen.set(formatMessageId(deadIdOf(dead)), true);
  }

  async #known(): Promise<PartitionOffsets[]> {
    if (this.#partitions !== undefined) return this.#partitions;
    const { source, dlq } = this.#options;
    try {
      this.#partitions = await source.offsets(dlq);
    } catch (error) {
      // No message of the group has died yet.
      if (codeOf(error) !== 'UNKNOWN_TOPIC') throw error;
      this.#partitions = [];
    }
    return this.#partitions;
  }

  /** Undefined when the partition has no more. */
  async #read({ partition, endOffset }: PartitionOffsets): Promise<LetterPage | undefined> {
    const { source, dlq } = this.#options;
    const request = {
      topic: dlq,
      partition,
      from: tailFrom.offset,
      position: this.#offset,
      bytesMax: limits.tailBytesMax,
      waitMs: 0,
    };
    const result = await source.tail(request).catch(async (error: unknown) => {
      if (codeOf(error) !== 'OFFSET_OUT_OF_RANGE') throw error;
      // Retention went over us meanwhile.
      return source.tail({ ...request, from: tailFrom.beginning });
    });
    if (result.nextOffset <= this.#offset) return undefined;
    this.#offset = result.nextOffset;
    return this.#pageOf(result, endOffset);
  }

  #pageOf(result: TailResult, endOffset: number): LetterPage {
    const { partition, count } = result;
    const { buffer, byteOffset, byteLength } = result.records;
    const records = Buffer.from(buffer, byteOffset, byteLength);
    const cursor = new RecordCursor('a topic of dead letters');
    const letters: Letter[] = [];
    const copies: number[] = [];
    let scanned = 0;
    let foreign: number | undefined;
    cursor.start(records, 0, records.length, count);
    while (cursor.next() && cursor.offset < endOffset) {
      scanned += 1;
      const letter = this.#letterAt(partition, cursor);
      if (letter === undefined) {
        foreign ??= cursor.offset;
        continue;
      }
      const origin = formatMessageId(deadIdOf(letter.dead));
      const before = this.#seen.get(origin);
      const isDealt = this.#options.dealt.has(partition, letter.offset);
      this.#remember(origin, isDealt || before === true);
      if (before === undefined && !isDealt) letters.push(letter);
      else if (before === true && !isDealt) copies.push(letter.offset);
    }
    const nextOffset = Math.min(result.nextOffset, endOffset);
    return { partition, scanned, letters, copies, foreign, nextOffset };
  }

  /** Undefined for what another program wrote, and for other groups' letters. */
  #letterAt(partition: number, cursor: RecordCursor): Letter | undefined {
    const { source, group, topic } = this.#options;
    const { headers } = cursor;
    const header = headers.find(({ name }) => name === DEAD_HEADER_NAME)?.value;
    if (header === undefined || header === null) return undefined;
    let dead: DeadHeader;
    try {
      dead = decodeDeadHeader(Buffer.from(header));
    } catch {
      return undefined;
    }
    if (dead.group !== group || dead.topic !== topic) return undefined;
    const { offset, key = null, value } = cursor;
    return { cluster: source.cluster, partition, offset, key, value, headers, dead };
  }

  #remember(origin: string, isDealt: boolean): void {
    this.#seen.set(origin, isDealt);
    if (this.#seen.size <= limits.deadSeenMax) return;
    const [oldest] = this.#seen.keys();
    if (oldest !== undefined) this.#seen.delete(oldest);
  }
}

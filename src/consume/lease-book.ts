import { ErrorCode } from '../../protocol/src/generated.ts';
import { readToken, type TokenFields, type Tokens } from './lease/token.ts';
import type { ForeignToken } from './partition/owner-book.ts';
import type { ConsumePartition } from './partition/partition.ts';
import { RunBook } from './partition/run-book.ts';

const FIRST_OFFSET_AT = 16;
const RUN_LOW_AT = 32;
const TWO_32 = 0x1_0000_0000;
/** Owners whose tokens were seen here once; beyond it the oldest are forgotten. */
const OWNERS_MAX = 10_000;

/** Finds out what a token stands for. */
export class LeaseBook {
  readonly runs = new RunBook();
  /** What the token that was {@link find found} names. */
  firstOffset = 0;
  /** Modulo 2^32. */
  run = 0;
  /** When it was delivered, in ms of the engine's clock; -1 when that is not known. */
  deliveredMs = -1;
  /** Why nothing was found. */
  code: number = ErrorCode.OK;
  readonly #tokens: Tokens;
  readonly #byOwner = new Map<string, ConsumePartition>();
  readonly #owners = new Set<string>();
  #hasClosed = false;
  readonly #fields: TokenFields = {
    cluster: 0,
    ownerHigh: 0,
    ownerLow: 0,
    partition: 0,
    firstOffset: 0,
    ownerEpoch: 0,
    leaseRun: 0,
  };

  constructor(tokens: Tokens) {
    this.#tokens = tokens;
  }

  opened(partition: ConsumePartition): void {
    this.#byOwner.set(placeOf(partition, partition), partition);
    for (const before of partition.before) {
      this.#byOwner.set(placeOf(before, partition), partition);
    }
    this.#owners.add(ownerOf(partition));
    if (this.#owners.size > OWNERS_MAX) {
      for (const oldest of this.#owners) {
        this.#owners.delete(oldest);
        break;
      }
    }
  }

  closed(partition: ConsumePartition): void {
    for (const owner of [partition, ...partition.before]) {
      const key = placeOf(owner, partition);
      if (this.#byOwner.get(key) === partition) this.#byOwner.delete(key);
    }
    this.#hasClosed = true;
  }

  /** Lets go of what was closed since; to be called now and then. */
  tidy(): void {
    if (this.#hasClosed) this.runs.tidy();
    this.#hasClosed = false;
  }

  /** What the last token that was not found names. */
  get foreign(): ForeignToken {
    const { cluster, ownerHigh, ownerLow, partition } = this.#fields;
    return { cluster, ownerHigh, ownerLow, partition };
  }

  /** The partition that a token leases from; undefined with a `code` otherwise. */
  find(bytes: Buffer, at: number): ConsumePartition | undefined {
    const known = this.runs.find(bytes, at);
    this.deliveredMs = known === undefined ? -1 : this.runs.atMs;
    if (known !== undefined) {
      this.firstOffset =
        bytes.readUInt32BE(at + FIRST_OFFSET_AT) * TWO_32 +
        bytes.readUInt32BE(at + FIRST_OFFSET_AT + 4);
      this.run = bytes.readUInt32BE(at + RUN_LOW_AT);
      return known;
    }
    if (!this.#tokens.isGood(bytes, at)) {
      this.code = ErrorCode.BAD_TOKEN;
      return undefined;
    }
    const fields = this.#fields;
    readToken(bytes, at, fields);
    const partition = this.#byOwner.get(placeOf(fields, fields));
    this.firstOffset = fields.firstOffset;
    this.run = fields.leaseRun >>> 0;
    if (partition === undefined) {
      const wasHere = this.#owners.has(ownerOf(fields));
      this.code = wasHere ? ErrorCode.LEASE_LOST : ErrorCode.NOT_OWNER;
      return undefined;
    }
    const { ownerEpoch, ownerHigh, ownerLow } = fields;
    if (ownerEpoch === partition.epoch) return partition;
    for (const before of partition.before) {
      if (before.ownerHigh !== ownerHigh || before.ownerLow !== ownerLow) continue;
      if (before.epoch === ownerEpoch && before.runs.has(this.run)) return partition;
    }
    this.code = ErrorCode.LEASE_LOST;
    return undefined;
  }
}

interface Owner {
  readonly ownerHigh: number;
  readonly ownerLow: number;
}

function ownerOf({ ownerHigh, ownerLow }: Owner): string {
  return `${ownerHigh}:${ownerLow}`;
}

function placeOf(
  owner: Owner,
  { cluster, partition }: { cluster: number; partition: number },
): string {
  return `${ownerOf(owner)}:${cluster}:${partition}`;
}

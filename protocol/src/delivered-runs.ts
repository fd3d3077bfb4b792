import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import { PROTOCOL_LIMIT } from './generated.ts';
import { malformed } from './protocol-error.ts';
import { bodyU64, RecordCursor } from './record-cursor.ts';
import { TOKEN_BYTES } from './settle-entries.ts';

const WHAT = 'DELIVER';
/** From the end of the topic's name to the attempts. */
const FIXED_BYTES = 1 + 4 + TOKEN_BYTES + 8 + 2 + 4;

// [P-12.7]; the grammar stands in deliver.ts

/**
 * Walks a DELIVER: `reset(frame)`, then `while (nextRun())`, and in it `while (next())` for the
 * run's records, each with `index` and `attempt` beside what {@link RecordCursor} gives. A run
 * must be read to its end before the next. Everything is borrowed from the frame.
 */
export class DeliveredRuns extends RecordCursor {
  subscription = 0;
  topic = '';
  cluster = 0;
  partition = 0;
  firstOffset = 0;
  /** Records of the run. */
  count = 0;
  /** Of the record that was read last: what names it under the run's token. */
  index = 0;
  /** How often it was delivered, this time included. */
  attempt = 0;
  #body: Buffer = Buffer.alloc(0);
  #at = 0;
  #tokenAt = 0;
  #attemptAt = 0;
  #topicBytes: Buffer = Buffer.alloc(0);

  constructor() {
    super(WHAT);
  }

  /** @throws ProtocolError UNKNOWN_FLAGS, MALFORMED */
  reset(frame: Frame): void {
    checkFlags(frame.flags, 0, WHAT);
    if (frame.body.length < 4) throw malformed(`${WHAT}: ends inside subscription`);
    this.#body = frame.body;
    this.subscription = frame.body.readUInt32BE(0);
    this.#at = 4;
    if (frame.body.length === 4) throw malformed(`${WHAT}: it has no run`);
  }

  /** @throws ProtocolError MALFORMED */
  nextRun(): boolean {
    const body = this.#body;
    if (this.#at === body.length) return false;
    const topicAt = this.#after(this.#at, 2);
    let at = this.#after(topicAt, body.readUInt16BE(this.#at));
    this.#readTopic(topicAt, at);
    const attemptsAt = this.#after(at, FIXED_BYTES);
    this.cluster = body[at] as number;
    this.partition = body.readUInt32BE(at + 1);
    this.#tokenAt = at + 5;
    at = this.#tokenAt + TOKEN_BYTES;
    this.firstOffset = bodyU64(body, at, WHAT);
    this.count = body.readUInt16BE(at + 8);
    if (this.count === 0) throw malformed(`${WHAT}: a run has no record`);
    const recordsAt = this.#after(attemptsAt, 2 * this.count);
    this.#at = this.#after(recordsAt, body.readUInt32BE(at + 10));
    this.#attemptAt = attemptsAt;
    this.index = -1;
    this.start(body, recordsAt, this.#at, this.count);
    return true;
  }

  /** The run's token, 48 bytes, borrowed from the frame. */
  get token(): Buffer {
    return this.#body.subarray(this.#tokenAt, this.#tokenAt + TOKEN_BYTES);
  }

  override next(): boolean {
    const before = this.index;
    if (!super.next()) return false;
    this.index = this.offset - this.firstOffset;
    if (this.index <= before || this.index >= PROTOCOL_LIMIT.runOffsetsMax) {
      throw malformed(`${WHAT}: offsets of a run rise, within 65,536 of its first`);
    }
    this.attempt = this.#body.readUInt16BE(this.#attemptAt);
    this.#attemptAt += 2;
    if (this.attempt === 0) throw malformed(`${WHAT}: attempts count from 1`);
    return true;
  }

  /** Topics repeat from run to run: their text is made once. */
  #readTopic(at: number, end: number): void {
    const known = this.#topicBytes;
    const length = end - at;
    if (known.length === length && this.#body.compare(known, 0, length, at, end) === 0) return;
    this.#topicBytes = Buffer.from(this.#body.subarray(at, end));
    this.topic = this.#topicBytes.toString('utf8');
  }

  #after(at: number, bytes: number): number {
    if (bytes > this.#body.length - at) throw malformed(`${WHAT}: ends inside a run`);
    return at + bytes;
  }
}

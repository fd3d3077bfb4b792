import type { BatchBuilderOptions, ScanTopic } from '../../../src/native/batch-builder.ts';
import type { TestEntry, TestHeader } from './frames.ts';

/** A message as the naive twin reads it from its entry. */
export interface NaiveMessage {
  readonly connection: number;
  readonly correlationId: number;
  readonly sequence: number;
  readonly level: number;
  readonly code: number;
  readonly topic: number;
  readonly flags: number;
  readonly body: Buffer;
}

/** The parts of a body; undefined when absent. */
export interface NaiveParts {
  partition?: number;
  key?: Buffer;
  headers?: TestHeader[];
  headersLength: number;
  value: Buffer | null;
}

/** Reads bytes from the front and throws RangeError when there are not enough. */
class Cursor {
  readonly buffer: Buffer;
  at = 0;

  constructor(buffer: Buffer) {
    this.buffer = buffer;
  }

  take(length: number): Buffer {
    if (length > this.buffer.length - this.at) throw new RangeError('too short');
    this.at += length;
    return this.buffer.subarray(this.at - length, this.at);
  }

  number(bytes: number): number {
    return this.take(bytes).readUIntBE(0, bytes);
  }

  rest(): Buffer {
    return this.take(this.buffer.length - this.at);
  }

  get left(): number {
    return this.buffer.length - this.at;
  }
}

const MALFORMED = 2;
const UNKNOWN_FLAGS = 6;
const SEQUENCE_MAX = 2 ** 48 - 1;

/** Takes a body apart; throws RangeError or TypeError when it is malformed. */
export function naiveParts(flags: number, body: Buffer): NaiveParts {
  const cursor = new Cursor(body);
  const parts: NaiveParts = { headersLength: 0, value: null };
  if (flags & 32) cursor.take(9);
  if (flags & 4) parts.partition = cursor.number(4);
  if (flags & 1) parts.key = cursor.take(cursor.number(2));
  if (flags & 2) {
    const headers = cursor.take(cursor.number(2));
    parts.headersLength = headers.length;
    parts.headers = naiveHeaders(new Cursor(headers));
  }
  const value = cursor.rest();
  if (!(flags & 8)) parts.value = value;
  else if (value.length > 0) throw new RangeError('a null value has bytes');
  return parts;
}

function naiveHeaders(cursor: Cursor): TestHeader[] {
  const headers: TestHeader[] = [];
  while (cursor.left > 0) {
    const name = cursor.take(cursor.number(1));
    if (name.length === 0) throw new RangeError('an empty name');
    new TextDecoder('utf-8', { fatal: true }).decode(name);
    const length = cursor.number(2);
    headers.push({ name, value: length === 0xffff ? null : cursor.take(length) });
  }
  return headers;
}

type Topics = ReadonlyMap<number, ScanTopic>;

/** The code of one message. */
function codeOfMessage(
  flags: number,
  body: Buffer,
  topic: number,
  options: BatchBuilderOptions,
  topics: Topics,
): number {
  let parts: NaiveParts;
  try {
    parts = naiveParts(flags, body);
  } catch {
    return MALFORMED;
  }
  const rule = topics.get(topic) ?? {};
  const keyAndValue = (parts.key?.length ?? 0) + (parts.value?.length ?? 0);
  if (keyAndValue + parts.headersLength > options.messageBytesMax) return 30;
  if ((parts.key?.length ?? 0) > options.keyBytesMax) return 30;
  if (parts.headersLength > options.headersBytesMax) return 30;
  if (rule.messageBytesMax && keyAndValue + parts.headersLength > rule.messageBytesMax) return 30;
  const names = (parts.headers ?? []).map(({ name }) => Buffer.from(name).toString());
  if (names.some((name) => name === 'mq' || name.startsWith('mq-'))) return 35;
  if (rule.code) return rule.code;
  if (parts.partition !== undefined) {
    if (parts.partition >= 2 ** 31) return 27;
    if (rule.partitions && parts.partition >= rule.partitions) return 27;
  }
  if (topic === 0) return 25;
  // No delay log was told of.
  return flags & 32 ? 34 : 0;
}

/** All messages of an entry, up to and with the first that is fatal. */
export function naiveMessages(
  entry: TestEntry,
  options: BatchBuilderOptions,
  topics: Topics,
): NaiveMessage[] {
  const messages: NaiveMessage[] = [];
  const { connection } = entry;
  const fatal = (code: number, correlationId: number, sequence: number): void => {
    const none = { level: 0, topic: 0, flags: 0, body: Buffer.alloc(0) };
    messages.push({ connection, correlationId, sequence, code, ...none });
  };
  /** Answers whether the entry goes on. */
  const add = (m: Omit<NaiveMessage, 'connection' | 'code'>, allowed: number): boolean => {
    if (m.flags & ~allowed) {
      fatal(UNKNOWN_FLAGS, m.correlationId, m.sequence);
      return false;
    }
    const flags = m.flags & 0x2f;
    const code = codeOfMessage(flags, m.body, m.topic, options, topics);
    if (code === MALFORMED || m.sequence === 0) {
      fatal(MALFORMED, m.correlationId, m.sequence);
      return false;
    }
    messages.push({ ...m, connection, code, flags });
    return true;
  };
  const payload = Buffer.from(entry.payload);
  for (let at = 0; at < payload.length; ) {
    const left = payload.length - at;
    const length = left >= 12 ? payload.readUInt32BE(at) : 0;
    const correlationId = left >= 12 ? payload.readUInt32BE(at + 8) : 0;
    if (length < 8 || length > left - 4) {
      fatal(MALFORMED, correlationId, 0);
      return messages;
    }
    const frame = payload.subarray(at, at + 4 + length);
    at += 4 + length;
    const goesOn =
      frame[4] === 0x20 ? naiveProduce(frame, add, fatal) : naiveBatch(frame, add, fatal);
    if (!goesOn) return messages;
  }
  return messages;
}

type Add = (m: Omit<NaiveMessage, 'connection' | 'code'>, allowed: number) => boolean;
type Fatal = (code: number, correlationId: number, sequence: number) => void;

function naiveProduce(frame: Buffer, add: Add, fatal: Fatal): boolean {
  const correlationId = frame.readUInt32BE(8);
  if (frame.length < 18) {
    fatal(MALFORMED, correlationId, 0);
    return false;
  }
  const flags = frame.readUInt8(5);
  const sequence = frame.readUIntBE(12, 6);
  const level = (flags >> 4) & 1;
  const topic = frame.readUInt16BE(6);
  return add({ correlationId, sequence, level, topic, flags, body: frame.subarray(18) }, 0x3f);
}

function naiveBatch(frame: Buffer, add: Add, fatal: Fatal): boolean {
  const correlationId = frame.readUInt32BE(8);
  const flags = frame.readUInt8(5);
  if (frame[4] !== 0x21 || frame.length < 20) {
    fatal(MALFORMED, correlationId, 0);
    return false;
  }
  const first = frame.readUIntBE(12, 6);
  const count = frame.readUInt16BE(18);
  if (flags & ~0x10) {
    fatal(UNKNOWN_FLAGS, correlationId, first);
    return false;
  }
  const records: Buffer[] = [];
  try {
    const cursor = new Cursor(frame.subarray(20));
    for (let i = 0; i < count; i += 1) records.push(cursor.take(cursor.number(4)));
    const wrong = cursor.left > 0 || records.some((record) => record.length === 0);
    if (wrong || first === 0 || count === 0 || first + count - 1 > SEQUENCE_MAX) throw RangeError();
  } catch {
    fatal(MALFORMED, correlationId, first);
    return false;
  }
  const topic = frame.readUInt16BE(6);
  const level = (flags >> 4) & 1;
  return records.every((record, i) => {
    const message = { sequence: first + i, level, topic, flags: record.readUInt8(0) };
    const id = (correlationId + i) >>> 0;
    return add({ ...message, correlationId: id, body: record.subarray(1) }, 0x2f);
  });
}

/** Whether `next` goes on where `last` ended. */
function follows(last: NaiveMessage, next: NaiveMessage): boolean {
  return (
    next.connection === last.connection &&
    next.correlationId === (last.correlationId + 1) >>> 0 &&
    next.sequence === last.sequence + 1 &&
    next.level === last.level &&
    next.code === last.code &&
    (next.flags & 32) === (last.flags & 32)
  );
}

const isFatal = (code: number): boolean => code === MALFORMED || code === UNKNOWN_FLAGS;

/** The rows of `segments`, without the connection's sign and the two unused ints. */
export function naiveSegments(messages: readonly NaiveMessage[]): number[][] {
  const groups: NaiveMessage[][] = [];
  for (const message of messages) {
    const last = groups.at(-1)?.at(-1);
    if (last !== undefined && follows(last, message)) groups.at(-1)?.push(message);
    else groups.push([message]);
  }
  let ordinal = 0;
  return groups.map((group) => {
    const first = group[0] as NaiveMessage;
    const uniform = group.every(({ topic }) => topic === first.topic) && !isFatal(first.code);
    const bytes = first.code === 0 ? group.reduce((sum, m) => sum + 8 + m.body.length, 0) : 0;
    ordinal += group.length;
    return [
      first.connection,
      ordinal - group.length,
      group.length,
      first.correlationId,
      first.sequence,
      first.level,
      first.code,
      bytes,
      uniform ? first.topic : -1,
    ];
  });
}

/** The messages of each scan until all entries are consumed, by the rules of BatchBuilder.scan. */
export function naiveScans(
  entries: readonly TestEntry[],
  bytesMax: number,
  options: BatchBuilderOptions,
  topics: Topics,
): NaiveMessage[][] {
  const scans: NaiveMessage[][] = [];
  let taken: NaiveMessage[] = [];
  let bytes = -1;
  const next = (): void => {
    scans.push(taken);
    taken = [];
    bytes = -1;
  };
  for (const entry of entries) {
    if (bytes >= 0 && bytes + entry.payload.length > bytesMax) next();
    bytes = Math.max(bytes, 0) + entry.payload.length;
    for (const message of naiveMessages(entry, options, topics)) {
      const longer = [...taken, message];
      if (
        longer.length > options.messagesMax ||
        naiveSegments(longer).length > options.segmentsMax
      ) {
        next();
        bytes = entry.payload.length;
        taken = [message];
      } else taken = longer;
    }
  }
  if (bytes >= 0) next();
  return scans;
}

/** The outbox payload of messages. */
export function naivePayload(messages: readonly NaiveMessage[]): Buffer {
  return Buffer.concat(
    messages.flatMap(({ body, topic, flags }) => {
      const head = Buffer.alloc(8);
      head.writeUInt32LE(body.length, 0);
      head.writeUInt16LE(topic, 4);
      head.writeUInt8(flags, 6);
      return [head, body];
    }),
  );
}

import { createHash } from 'node:crypto';
import { DelayIdKind, ErrorCode } from './generated.ts';
import type { MessageId } from './message-id.ts';
import { murmur2 } from './murmur2.ts';
import { ProtocolError } from './protocol-error.ts';

/** Bytes of a delay id. */
export const DELAY_ID_BYTES = 24;
/** Partitions of the delay log. */
export const DELAY_PARTITIONS = 16;

const VERSION = 1;
const NAME_AT = 8;
const TEXT = /^d1-([0-9a-f]{48})$/;

// [P-6.15] delay-id := version:u8(=1) partition:u8 kind:u8 0:u40 name:16
//          text := "d1-" and 48 digits of 0-9a-f

/** The id of a delayed message that its message id names. *Owned* by the caller. */
export function delayIdOfMessage(id: MessageId, level = false): Buffer {
  const name = Buffer.allocUnsafe(DELAY_ID_BYTES - NAME_AT);
  name.writeBigUInt64BE(id.producerId, 0);
  name.writeUInt16BE(id.epoch, 8);
  name.writeUIntBE(id.sequence, 10, 6);
  return delayIdOf(level ? DelayIdKind.LEVEL : DelayIdKind.MESSAGE, name);
}

/** The id of a delayed message that topic and key name. *Owned* by the caller. */
export function delayIdOfKey(topic: string, key: Uint8Array | string): Buffer {
  const hash = createHash('sha256').update(topic).update('\0').update(key).digest();
  return delayIdOf(DelayIdKind.KEY, hash.subarray(0, DELAY_ID_BYTES - NAME_AT));
}

/** The id of a series by its name. *Owned* by the caller. */
export function delayIdOfSeries(series: string): Buffer {
  const hash = createHash('sha256').update(series).digest();
  return delayIdOf(DelayIdKind.SERIES, hash.subarray(0, DELAY_ID_BYTES - NAME_AT));
}

/** The text form. */
export function formatDelayId(id: Uint8Array): string {
  return `d1-${Buffer.from(id.buffer, id.byteOffset, id.length).toString('hex')}`;
}

/** @throws ProtocolError INVALID_ARGUMENT */
export function parseDelayId(text: string): Buffer {
  const hex = TEXT.exec(text)?.[1];
  const id = Buffer.from(hex ?? '', 'hex');
  if (!isDelayId(id)) {
    throw new ProtocolError(ErrorCode.INVALID_ARGUMENT, 'a delay id is d1- and 48 hex digits');
  }
  return id;
}

/** Whether these bytes are a delay id that follows the grammar, its partition included. */
export function isDelayId(id: Buffer): boolean {
  if (id.length !== DELAY_ID_BYTES || id[0] !== VERSION) return false;
  if ((id[2] as number) > DelayIdKind.LEVEL || id.readUIntBE(3, 5) !== 0) return false;
  return id[1] === delayPartition(id.subarray(NAME_AT));
}

function delayIdOf(kind: number, name: Uint8Array): Buffer {
  const id = Buffer.alloc(DELAY_ID_BYTES);
  id[0] = VERSION;
  id[1] = delayPartition(name);
  id[2] = kind;
  id.set(name, NAME_AT);
  return id;
}

function delayPartition(name: Uint8Array): number {
  return (murmur2(name) & 0x7fff_ffff) % DELAY_PARTITIONS;
}

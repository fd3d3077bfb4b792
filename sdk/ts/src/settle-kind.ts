import { beginAck } from '../../../protocol/src/ack.ts';
import { beginExtend } from '../../../protocol/src/extend.ts';
import type { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { Opcode, PROTOCOL_LIMIT } from '../../../protocol/src/generated.ts';
import { beginNack } from '../../../protocol/src/nack.ts';
import type { AckWait, NackOptions } from './consume-types.ts';
import { MqpError } from './errors.ts';

/** What is asked for a message: those of one kind share frames. */
export interface SettleKind {
  readonly key: string;
  readonly opcode: number;
  /** Bytes before the entries. */
  readonly headBytes: number;
  /** Begins the frame. */
  begin(writer: FrameWriter, correlationId: number): void;
}

export function ackKind(wait: AckWait): SettleKind {
  return wait === 'committed' ? ACK_COMMITTED : ACK_RECORDED;
}

/** @throws MqpError INVALID_ARGUMENT for a delay that cannot be sent */
export function nackKind(options: NackOptions): SettleKind {
  const { delayMs, dead = false } = options;
  const isGood =
    delayMs === undefined || (Number.isInteger(delayMs) && delayMs >= 0 && delayMs < DELAY_MS_MAX);
  if (!isGood) throw new MqpError('INVALID_ARGUMENT', 'delayMs is an integer below 2^32 - 1');
  const reason = cut(options.reason ?? '');
  return {
    key: `nack ${dead} ${delayMs} ${reason}`,
    opcode: Opcode.NACK,
    headBytes: 6 + Buffer.byteLength(reason),
    begin: (writer, id) => beginNack(writer, id, { dead, reason, delayMs }),
  };
}

/** @throws MqpError INVALID_ARGUMENT outside 100 ms to 12 h */
export function extendKind(leaseMs: number): SettleKind {
  const { leaseMsMin, leaseMsMax } = PROTOCOL_LIMIT;
  if (!Number.isInteger(leaseMs) || leaseMs < leaseMsMin || leaseMs > leaseMsMax) {
    throw new MqpError('INVALID_ARGUMENT', `leaseMs is ${leaseMsMin} to ${leaseMsMax}`);
  }
  return {
    key: `extend ${leaseMs}`,
    opcode: Opcode.EXTEND,
    headBytes: 4,
    begin: (writer, id) => beginExtend(writer, id, leaseMs),
  };
}

const DELAY_MS_MAX = 0xffff_ffff;
const ACK_RECORDED: SettleKind = {
  key: 'ack',
  opcode: Opcode.ACK,
  headBytes: 0,
  begin: (writer, id) => beginAck(writer, id, false),
};
const ACK_COMMITTED: SettleKind = {
  key: 'ack committed',
  opcode: Opcode.ACK,
  headBytes: 0,
  begin: (writer, id) => beginAck(writer, id, true),
};

/** Cuts at the limit, never inside a character. */
function cut(reason: string): string {
  const bytes = Buffer.from(reason);
  if (bytes.length <= PROTOCOL_LIMIT.reasonBytesMax) return reason;
  let end: number = PROTOCOL_LIMIT.reasonBytesMax;
  while (((bytes[end] as number) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}

import type { BodyReader } from './body-reader.ts';
import type { FrameWriter } from './frame-writer.ts';
import { DueFlag, type DueKind } from './generated.ts';

/** When a message is to be delivered. */
export interface Due {
  readonly kind: DueKind;
  /** Milliseconds from acceptance, unix milliseconds, or a level's duration, as `kind` says. */
  readonly due: number;
  /** Topic and key name the schedule: a later message of the same replaces this one. */
  readonly unique?: boolean;
  /** With `unique`: when one is scheduled already, that one stays. */
  readonly ifAbsent?: boolean;
}

/** Furthest that a due time may lie ahead, in ms: 400 days. */
export const DUE_HORIZON_MS = 34_560_000_000;
/** Bytes of a due field. */
export const DUE_BYTES = 9;

const KIND_MASK = 0x0f;

// [P-6.13] due := dueKind:u8 due:u64      dueKind := kind (low four bits) | UNIQUE | IF_ABSENT

export function writeDue(writer: FrameWriter, due: Due): void {
  const unique = due.unique === true ? DueFlag.UNIQUE : 0;
  const ifAbsent = due.ifAbsent === true ? DueFlag.IF_ABSENT : 0;
  writer.u8(due.kind | unique | ifAbsent);
  writer.u64(due.due);
}

/** Whether kind and time are allowed is not looked at: the node refuses by message. */
export function readDue(reader: BodyReader): Due {
  const kind = reader.u8('dueKind');
  const due = reader.u64('due');
  return {
    kind: (kind & KIND_MASK) as DueKind,
    due,
    ...((kind & DueFlag.UNIQUE) === 0 ? {} : { unique: true }),
    ...((kind & DueFlag.IF_ABSENT) === 0 ? {} : { ifAbsent: true }),
  };
}

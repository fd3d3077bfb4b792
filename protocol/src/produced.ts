import type { Frame } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { Answer, ErrorCode, ProducedForm } from './generated.ts';
import { malformed, ProtocolError } from './protocol-error.ts';

/** Bytes of an entry, by form. */
export const PRODUCED_ENTRY_BYTES = {
  [ProducedForm.PLAIN]: 8,
  [ProducedForm.PLACED]: 24,
  [ProducedForm.REFUSED]: 16,
  [ProducedForm.SCHEDULED]: 16,
} as const;

const TWO_32 = 0x1_0000_0000;
const U32_MAX = 0xffff_ffff;

// [P-6.5] produced := entry+    the form is the frame's flags; correlationId 0; one form per frame
//         PLAIN   0x00  firstCorrelationId:u32 count:u16 code:u16(=0)
//         PLACED  0x01  firstCorrelationId:u32 count:u16 cluster:u8 0:u8 partition:u32
//                       0:u32 offset:u64
//         REFUSED 0x02  firstCorrelationId:u32 count:u16 code:u16 detail:u64
//         SCHEDULED 0x03  firstCorrelationId:u32 count:u16 code:u16(=0) acceptedMs:u64  [P-6.14]
//         An entry covers ids first … first + count − 1 (mod 2^32); 2^64 − 1 as offset is unknown.

/** Begins a PRODUCED frame; then only entries of this form, then `writer.end()`. */
export function beginProduced(writer: FrameWriter, form: ProducedForm): void {
  writer.begin(Answer.PRODUCED, form, 0, 0);
}

export function writePlain(writer: FrameWriter, firstCorrelationId: number, count: number): void {
  writer.u32(firstCorrelationId);
  writer.u16(count);
  writer.u16(0);
}

/** `offset` is that of the run's first message; −1 is unknown. */
export function writePlaced(
  writer: FrameWriter,
  firstCorrelationId: number,
  count: number,
  place: { readonly cluster: number; readonly partition: number; readonly offset: number },
): void {
  writer.u32(firstCorrelationId);
  writer.u16(count);
  writer.u8(place.cluster);
  writer.u8(0);
  writer.u32(place.partition);
  writer.u32(0);
  if (place.offset >= 0) {
    writer.u64(place.offset);
  } else {
    writer.u32(U32_MAX);
    writer.u32(U32_MAX);
  }
}

/** `detail`: milliseconds for RETRY_LATER, the sequence expected for OUT_OF_SEQUENCE, else 0. */
export function writeRefused(
  writer: FrameWriter,
  firstCorrelationId: number,
  count: number,
  refusal: { readonly code: number; readonly detail: number },
): void {
  writer.u32(firstCorrelationId);
  writer.u16(count);
  writer.u16(refusal.code);
  writer.u64(refusal.detail);
}

/** The time of acceptance of delayed messages, in unix milliseconds. */
export function writeScheduled(
  writer: FrameWriter,
  firstCorrelationId: number,
  count: number,
  acceptedMs: number,
): void {
  writePlain(writer, firstCorrelationId, count);
  writer.u64(acceptedMs);
}

/**
 * Walks the entries of PRODUCED frames without allocating: `reset(frame)`, then `while (next())`
 * read the fields, which hold until the next call. Fields of another form are 0, `offset` −1.
 */
export class ProducedEntries {
  form: number = ProducedForm.PLAIN;
  firstCorrelationId = 0;
  count = 0;
  /** 0 is OK. */
  code: number = ErrorCode.OK;
  cluster = 0;
  partition = 0;
  /** Of the run's first message; −1 is unknown. */
  offset = -1;
  detail = 0;
  /** Of SCHEDULED, in unix milliseconds. */
  acceptedMs = 0;
  #body: Buffer = Buffer.alloc(0);
  #at = 0;

  /** @throws ProtocolError UNKNOWN_FLAGS for a form of a newer node, MALFORMED */
  reset(frame: Frame): void {
    const entryBytes = PRODUCED_ENTRY_BYTES[frame.flags as ProducedForm];
    if (entryBytes === undefined) {
      throw new ProtocolError(ErrorCode.UNKNOWN_FLAGS, `PRODUCED has no form ${frame.flags}`);
    }
    if (frame.body.length === 0 || frame.body.length % entryBytes !== 0) {
      throw malformed(
        `PRODUCED: ${frame.body.length} bytes are not whole entries of ${entryBytes}`,
      );
    }
    this.form = frame.flags;
    this.code = ErrorCode.OK;
    this.cluster = 0;
    this.partition = 0;
    this.offset = -1;
    this.detail = 0;
    this.acceptedMs = 0;
    this.#body = frame.body;
    this.#at = 0;
  }

  next(): boolean {
    const body = this.#body;
    const at = this.#at;
    if (at >= body.length) return false;
    this.firstCorrelationId = body.readUInt32BE(at);
    this.count = body.readUInt16BE(at + 4);
    if (this.count === 0) throw malformed('PRODUCED: an entry covers nothing');
    if (this.form === ProducedForm.PLAIN) this.#plain(body, at);
    else if (this.form === ProducedForm.PLACED) this.#placed(body, at);
    else if (this.form === ProducedForm.SCHEDULED) this.#scheduled(body, at);
    else this.#refused(body, at);
    return true;
  }

  #plain(body: Buffer, at: number): void {
    if (body.readUInt16BE(at + 6) !== 0) throw malformed('PRODUCED: a plain entry has code 0');
    this.#at = at + PRODUCED_ENTRY_BYTES[ProducedForm.PLAIN];
  }

  #scheduled(body: Buffer, at: number): void {
    this.#plain(body, at);
    const acceptedMs = body.readUInt32BE(at + 8) * TWO_32 + body.readUInt32BE(at + 12);
    this.acceptedMs = safe(acceptedMs, 'acceptedMs');
    this.#at = at + PRODUCED_ENTRY_BYTES[ProducedForm.SCHEDULED];
  }

  #placed(body: Buffer, at: number): void {
    this.cluster = body[at + 6] as number;
    this.partition = body.readUInt32BE(at + 8);
    const high = body.readUInt32BE(at + 16);
    const low = body.readUInt32BE(at + 20);
    const unknown = high === U32_MAX && low === U32_MAX;
    this.offset = unknown ? -1 : safe(high * TWO_32 + low, 'offset');
    this.#at = at + PRODUCED_ENTRY_BYTES[ProducedForm.PLACED];
  }

  #refused(body: Buffer, at: number): void {
    this.code = body.readUInt16BE(at + 6);
    if (this.code === ErrorCode.OK) throw malformed('PRODUCED: a refusal has code 0');
    this.detail = safe(body.readUInt32BE(at + 8) * TWO_32 + body.readUInt32BE(at + 12), 'detail');
    this.#at = at + PRODUCED_ENTRY_BYTES[ProducedForm.REFUSED];
  }
}

function safe(value: number, field: string): number {
  if (value > Number.MAX_SAFE_INTEGER) throw malformed(`PRODUCED: ${field} is above 2^53 - 1`);
  return value;
}

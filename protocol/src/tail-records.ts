import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import { malformed } from './protocol-error.ts';
import { bodyU64, RecordCursor } from './record-cursor.ts';
import type { TailHead } from './tail.ts';

const WHAT = 'answer to TAIL';
const HEAD_BYTES = 32;

// [P-7.2] [P-7.3]; the grammar stands in tail.ts

/**
 * Walks the records of a TAIL answer: `reset(frame)` reads the head, then as {@link RecordCursor}.
 * Everything is borrowed from the frame. After the last record the count and the end are verified.
 */
export class TailRecords extends RecordCursor {
  head: TailHead = { partition: 0, startOffset: 0, endOffset: 0, nextOffset: 0, count: 0 };

  constructor() {
    super(WHAT);
  }

  /** @throws ProtocolError UNKNOWN_FLAGS, MALFORMED */
  reset(frame: Frame): void {
    checkFlags(frame.flags, 0, WHAT);
    const body = frame.body;
    if (body.length < HEAD_BYTES) throw malformed(`${WHAT}: ends inside its head`);
    const count = body.readUInt32BE(28);
    this.start(body, HEAD_BYTES, body.length, count);
    this.head = {
      partition: body.readUInt32BE(0),
      startOffset: bodyU64(body, 4, WHAT),
      endOffset: bodyU64(body, 12, WHAT),
      nextOffset: bodyU64(body, 20, WHAT),
      count,
    };
  }
}

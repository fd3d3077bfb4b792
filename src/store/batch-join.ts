import type { KeyValueStore } from './key-value-store.ts';
import { headerKey, payloadKey, sequenceOfKey } from './keys.ts';

/** A header and the payload that lies beside it; either may be missing. */
export interface JoinedBatch {
  readonly sequence: number;
  readonly header: Buffer | undefined;
  readonly payload: Buffer | undefined;
}

/** A range of sequences, and the bytes of payload fetched per step. */
export interface JoinRange {
  readonly from: number;
  readonly to: number;
  readonly readAheadBytes: number;
}

const HEADER_STEP_BYTES = 128 * 1024;

/** Headers and payloads of the batches that begin in a range, side by side, in order. */
export async function* joinBatches(
  kv: KeyValueStore,
  range: JoinRange,
): AsyncGenerator<JoinedBatch> {
  const payloads = kv.iterate(
    { from: payloadKey(range.from), to: payloadKey(range.to) },
    { readAheadBytes: range.readAheadBytes },
  );
  try {
    let payload = await payloads.next();
    for await (const { key, value } of kv.iterate(
      { from: headerKey(range.from), to: headerKey(range.to) },
      { readAheadBytes: HEADER_STEP_BYTES },
    )) {
      const sequence = sequenceOfKey(key);
      while (payload.done !== true && sequenceOfKey(payload.value.key) < sequence) {
        const orphan = sequenceOfKey(payload.value.key);
        yield { sequence: orphan, header: undefined, payload: payload.value.value };
        payload = await payloads.next();
      }
      const beside = payload.done !== true && sequenceOfKey(payload.value.key) === sequence;
      yield { sequence, header: value, payload: beside ? payload.value?.value : undefined };
      if (beside) payload = await payloads.next();
    }
    while (payload.done !== true) {
      const orphan = sequenceOfKey(payload.value.key);
      yield { sequence: orphan, header: undefined, payload: payload.value.value };
      payload = await payloads.next();
    }
  } finally {
    await payloads.return(undefined);
  }
}

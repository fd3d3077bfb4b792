import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { Opcode } from './generated.ts';
import { decodeMap } from './map-body.ts';
import { integerField, mapField, stringField, stringsField } from './map-fields.ts';
import { writeMap } from './map-frame.ts';

/** What this node reads for a subscription's group has changed. */
export interface Assigned {
  readonly subscription: number;
  /** Partitions read here now; 0: other nodes have them all, this one waits to take over. */
  readonly assigned: number;
  /** Topics that the subscription covers now. */
  readonly topics: readonly string[];
  /** The node ended the subscription, for this reason. */
  readonly ended?: { readonly code: number; readonly message: string };
}

// [P-12.4] assigned := map { subscription, assigned, topics: [string], ended?: { code, message } }
//          node → client, correlationId 0, no answer

export function encodeAssigned(writer: FrameWriter, assigned: Assigned): void {
  writeMap(writer, Opcode.ASSIGNED, 0, { ...assigned });
}

export function decodeAssigned(frame: Frame): Assigned {
  checkFlags(frame.flags, 0, 'ASSIGNED');
  const map = decodeMap(frame.body, 'ASSIGNED');
  const ended = map['ended'] === undefined ? undefined : mapField(map, 'ended');
  return {
    subscription: integerField(map, 'subscription'),
    assigned: integerField(map, 'assigned'),
    topics: stringsField(map, 'topics'),
    ...(ended === undefined
      ? {}
      : { ended: { code: integerField(ended, 'code'), message: stringField(ended, 'message') } }),
  };
}

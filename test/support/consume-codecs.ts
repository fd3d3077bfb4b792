import { beginAck, decodeAck } from '../../protocol/src/ack.ts';
import { type Assigned, decodeAssigned, encodeAssigned } from '../../protocol/src/assigned.ts';
import { type Commit, decodeCommit, encodeCommit } from '../../protocol/src/commit.ts';
import { type Credit, decodeCredit, encodeCredit } from '../../protocol/src/credit.ts';
import { beginDeliver, beginRun, endRun } from '../../protocol/src/deliver.ts';
import { DeliveredRuns } from '../../protocol/src/delivered-runs.ts';
import { beginExtend, decodeExtend } from '../../protocol/src/extend.ts';
import type { Frame } from '../../protocol/src/frame.ts';
import type { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { Opcode } from '../../protocol/src/generated.ts';
import { beginNack, decodeNack, type NackHead } from '../../protocol/src/nack.ts';
import { SettleEntries, TOKEN_BYTES, writeSettleEntry } from '../../protocol/src/settle-entries.ts';
import {
  beginSettled,
  endSettleFailures,
  SettleFailures,
  writeSettleFailure,
  writeSettleOwner,
} from '../../protocol/src/settled.ts';
import {
  decodeSubscribe,
  decodeSubscribed,
  encodeSubscribe,
  encodeSubscribed,
  type Subscribe,
  type Subscribed,
} from '../../protocol/src/subscribe.ts';
import { type TailRecord, writeTailRecord } from '../../protocol/src/tail.ts';
import {
  decodeUnsubscribe,
  decodeUnsubscribed,
  encodeUnsubscribe,
  encodeUnsubscribed,
} from '../../protocol/src/unsubscribe.ts';
import { type Fields, type FrameCodec, simple } from './frame-codec.ts';

const entries = new SettleEntries();
const failures = new SettleFailures();
const runs = new DeliveredRuns();

interface Entry {
  readonly token: Uint8Array;
  readonly indexes: readonly number[];
}

/** Codecs of subscriptions and leases, by the vectors' `type`. */
export const consumeCodecs: Readonly<Record<string, FrameCodec>> = {
  subscribe: simple<Subscribe>(decodeSubscribe, encodeSubscribe),
  'subscribe-answer': simple<Subscribed>(decodeSubscribed, encodeSubscribed),
  unsubscribe: simple<{ subscription: number }>(
    (frame) => ({ subscription: decodeUnsubscribe(frame) }),
    (writer, id, { subscription }) => encodeUnsubscribe(writer, id, subscription),
  ),
  'unsubscribe-answer': simple<object>((frame) => {
    decodeUnsubscribed(frame);
    return {};
  }, encodeUnsubscribed),
  assigned: {
    decode: decodeAssigned,
    encode: (writer, fields) => encodeAssigned(writer, fields as unknown as Assigned),
  },
  credit: simple<Credit>(decodeCredit, encodeCredit),
  deliver: { decode: decodeDeliver, encode: encodeDeliver },
  ack: simple<{ committed: boolean; entries: Entry[] }>(
    (frame) => ({ committed: decodeAck(frame, entries), entries: readEntries() }),
    (writer, id, ack) => {
      beginAck(writer, id, ack.committed);
      writeEntries(writer, ack.entries);
    },
  ),
  nack: simple<NackHead & { entries: Entry[] }>(
    (frame) => ({ ...decodeNack(frame, entries), entries: readEntries() }),
    (writer, id, nack) => {
      beginNack(writer, id, nack);
      writeEntries(writer, nack.entries);
    },
  ),
  extend: simple<{ leaseMs: number; entries: Entry[] }>(
    (frame) => ({ leaseMs: decodeExtend(frame, entries), entries: readEntries() }),
    (writer, id, extend) => {
      beginExtend(writer, id, extend.leaseMs);
      writeEntries(writer, extend.entries);
    },
  ),
  commit: simple<Commit>(decodeCommit, encodeCommit),
  'ack-answer': settled(Opcode.ACK),
  'nack-answer': settled(Opcode.NACK),
  'extend-answer': settled(Opcode.EXTEND),
  'commit-answer': settled(Opcode.COMMIT),
};

function readEntries(): Entry[] {
  const read: Entry[] = [];
  while (entries.next()) {
    const token = entries.bytes.subarray(entries.tokenAt, entries.tokenAt + TOKEN_BYTES);
    const indexes = Array.from({ length: entries.count }, (_, i) => entries.index(i));
    read.push({ token, indexes });
  }
  return read;
}

function writeEntries(writer: FrameWriter, list: readonly Entry[]): void {
  for (const { token, indexes } of list) writeSettleEntry(writer, token, Uint16Array.from(indexes));
  writer.end();
}

interface Failure {
  readonly entry: number;
  readonly index: number;
  readonly code: number;
}

function settled(opcode: number): FrameCodec {
  return simple<{ failures: Failure[]; owners: { entry: number; node: string }[] }>(
    (frame) => {
      failures.reset(frame);
      const read: Failure[] = [];
      const owners: { entry: number; node: string }[] = [];
      while (failures.next()) {
        const { entry, index, code } = failures;
        read.push({ entry, index, code });
        const node = failures.owner(entry);
        if (node !== undefined) owners.push({ entry, node });
      }
      return { failures: read, owners };
    },
    (writer, id, answer) => {
      const at = beginSettled(writer, opcode, id);
      for (const { entry, index, code } of answer.failures) {
        writeSettleFailure(writer, entry, index, code);
      }
      endSettleFailures(writer, at);
      for (const { entry, node } of answer.owners) writeSettleOwner(writer, entry, node);
      writer.end();
    },
  );
}

interface Run {
  readonly topic: string;
  readonly cluster: number;
  readonly partition: number;
  readonly token: Uint8Array;
  readonly firstOffset: number;
  readonly records: readonly (TailRecord & { readonly attempt: number })[];
}

function decodeDeliver(frame: Frame): unknown {
  runs.reset(frame);
  const read: object[] = [];
  while (runs.nextRun()) {
    const { topic, cluster, partition, token, firstOffset } = runs;
    const records: object[] = [];
    while (runs.next()) {
      const { index, attempt, offset, timestampMs, id, key, headers, value } = runs;
      records.push({ index, attempt, offset, timestampMs, id, key, headers, value });
    }
    read.push({ topic, cluster, partition, token, firstOffset, records });
  }
  return { subscription: runs.subscription, runs: read };
}

function encodeDeliver(writer: FrameWriter, fields: Fields): void {
  beginDeliver(writer, fields['subscription'] as number);
  for (const run of fields['runs'] as Run[]) {
    const { records } = run;
    const head = { ...run, topic: Buffer.from(run.topic), count: records.length };
    const at = beginRun(writer, head);
    writer.u16s(
      Uint16Array.from(records, ({ attempt }) => attempt),
      0,
      records.length,
    );
    for (const record of records) writeTailRecord(writer, record);
    endRun(writer, at, records.length);
  }
  writer.end();
}

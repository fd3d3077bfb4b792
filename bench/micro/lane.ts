import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { systemClock } from '../../src/base/clock.ts';
import { ENTRY_HEADER_BYTES, KIND_FRAMES } from '../../src/lanes/ring.ts';
import {
  BatchBuilder,
  crc32c,
  Doorbell,
  partitionOf,
  ringDoorbell,
} from '../../src/native/addon.ts';
import { Acker } from '../../src/produce/intake/acker.ts';
import { ArraySlab } from '../../src/produce/intake/array-slab.ts';
import { addSegment, emptyMicroBatch } from '../../src/produce/intake/micro-batch.ts';
import { ProducerSession } from '../../src/produce/intake/producer-session.ts';
import { Pending } from '../../src/produce/sending/pending.ts';
import { BatchHeaderBuilder } from '../../src/store/batch-header.ts';
import { openLaneStore } from '../../src/store/open-lane-store.ts';
import type { Micro } from './micro.ts';
import { produceFrames, turnMessages } from './wire.ts';

const connections = 32;
const limits = {
  messageBytesMax: 1 << 20,
  keyBytesMax: 32_768,
  headersBytesMax: 32_768,
  messagesMax: 65_536,
  segmentsMax: 16_384,
};

/** A ring with one entry of frames for each connection. */
function filledRing(size: number): { ring: Buffer; to: number } {
  const frames = produceFrames(turnMessages, size);
  const entryBytes = (ENTRY_HEADER_BYTES + frames.length + 7) & ~7;
  const ring = Buffer.alloc(1 << Math.ceil(Math.log2(entryBytes * (connections + 1))));
  for (let i = 0; i < connections; i++) {
    const at = i * entryBytes;
    ring.writeUInt32LE(frames.length, at);
    ring.writeUInt32LE(i, at + 4);
    ring.writeUInt32LE(turnMessages, at + 8);
    ring.writeUInt32LE(KIND_FRAMES, at + 12);
    frames.copy(ring, at + ENTRY_HEADER_BYTES);
  }
  return { ring, to: entryBytes * connections };
}

function scan(size: number, encode: boolean): Micro {
  const { ring, to } = filledRing(size);
  const builder = new BatchBuilder(limits);
  return {
    name: `BatchBuilder scan${encode ? ' + encodePayload' : ''}, ${size} B`,
    perCall: connections * turnMessages,
    unit: 'messages',
    call() {
      builder.scan(ring, 0, to, ring.length);
      if (encode) builder.encodePayload();
    },
  };
}

function checksum(bytes: number): Micro {
  const data = Buffer.alloc(bytes, 'x');
  return {
    name: `crc32c of ${bytes} B`,
    perCall: bytes,
    unit: 'bytes',
    call() {
      crc32c(data);
    },
  };
}

function partitioning(): Micro {
  const key = Buffer.from('k0001234');
  return {
    name: 'partitionOf, 8 B',
    perCall: 1,
    unit: 'keys',
    call() {
      partitionOf(key, 4);
    },
  };
}

/** To another thread and back, both idle in between. */
async function hop(): Promise<Micro> {
  let heard: () => void = () => {};
  const bell = new Doorbell(() => heard());
  bell.ref();
  const file = new URL('./hop-worker.js', import.meta.url);
  const worker = new Worker(file, { workerData: bell.id });
  const [far] = (await once(worker, 'message')) as [number];
  return {
    name: 'doorbell, to another thread and back',
    perCall: 1,
    unit: 'round trips',
    isAsync: true,
    call: () =>
      new Promise<void>((resolve) => {
        heard = resolve;
        ringDoorbell(far);
      }),
    async close() {
      bell.close();
      await worker.terminate();
    },
  };
}

/** Sixteen stored batches, with a segment for each connection, and their verdicts. */
function verdicts(replicated: boolean): Micro {
  const messages = connections * turnMessages;
  const sink = { bytes: Buffer.alloc(1 << 20), reserve: () => 0, publish: () => false };
  const acker = new Acker(
    sink,
    () => {},
    () => true,
  );
  const store = { nextSequence: 1, floor: 1, isConfirmed: () => true };
  const pending = new Pending({ acker, store, isParked: () => false, isOpen: () => true });
  const batches = Array.from({ length: 16 }, () => {
    const batch = emptyMicroBatch(0, connections, new ArraySlab());
    for (let session = 0; session < connections; session++) {
      const producer = new ProducerSession(BigInt(session), 0);
      const ids = { session, correlationId: 1, count: turnMessages, sequence: 1 };
      addSegment(batch, { ...ids, replicated, due: false, producer });
    }
    return batch;
  });
  let next = 1;
  return {
    name: `Pending add + confirm${replicated ? ', replicated' : ''}`,
    perCall: batches.length,
    unit: 'batches',
    call() {
      let at = next;
      for (const batch of batches) {
        batch.firstSequence = next;
        pending.add(batch);
        next += messages;
      }
      // Four runs a batch, as partitions report them.
      const place = { cluster: 0, partition: 0, offset: at };
      for (; at < next; at += messages / 4) pending.confirm(at, messages / 4, place);
      acker.flush();
    },
  };
}

/** One synced batch, confirmed before the next. */
async function append(messages: number, size: number): Promise<Micro> {
  const folder = mkdtempSync(join(tmpdir(), 'mqproxy-micro-'));
  const store = await openLaneStore({ folder, lane: 0, clock: systemClock, crc32c });
  const header = new BatchHeaderBuilder();
  const payload = recordsOf(messages, size);
  const payloadCrc = crc32c(payload);
  let sequence = 1;
  return {
    name: `outbox append, ${messages} × ${size} B, synced`,
    perCall: messages,
    unit: 'messages',
    isAsync: true,
    async call() {
      header.reset(sequence);
      header.addTopic({ id: 1, name: 'bench' });
      const segment = { producerId: 1n, epoch: 0, flags: 0, count: messages };
      header.addSegment({ ...segment, firstSequence: sequence });
      const first = store.nextSequence;
      const windowPuts = store.checkpointDue ? { windowPuts: [] } : {};
      await store.append({ header, payload, payloadCrc, ...windowPuts });
      store.confirm(first, messages);
      sequence += messages;
    },
    async close() {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

// record := bodyLength:u32le topic:u16le flags:u8 reserved:u8 body
function recordsOf(count: number, size: number): Buffer {
  const record = Buffer.alloc(8 + size, 'v');
  record.writeUInt32LE(size, 0);
  record.writeUInt16LE(1, 4);
  record.writeUInt16LE(0, 6);
  return Buffer.concat(Array.from({ length: count }, () => record));
}

/** What a lane does: addon, store, and the way between threads. */
export async function laneMicros(): Promise<Micro[]> {
  return [
    scan(100, false),
    scan(100, true),
    scan(1024, true),
    checksum(64),
    checksum(65_536),
    partitioning(),
    verdicts(false),
    verdicts(true),
    await hop(),
    await append(1, 100),
    await append(1000, 100),
    await append(1000, 1024),
  ];
}

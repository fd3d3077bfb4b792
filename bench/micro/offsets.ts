import { encodeAckChunk, loadAckChunk } from '../../src/offsets/ack-map.ts';
import { CHUNK_SEQUENCES } from '../../src/offsets/bits.ts';
import { OffsetMerger } from '../../src/offsets/offset-merger.ts';
import type { Micro } from './micro.ts';

const window = 1 << 20;
/** Offsets that are to be encoded, or decoded, within a millisecond. */
const mapped = 131_072;

/** The same numbers at every run. */
function random(): () => number {
  let state = 0x9e37_79b9;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function shuffled(count: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  const next = random();
  for (let i = count - 1; i > 0; i--) {
    const other = Math.floor(next() * (i + 1));
    const kept = order[i] as number;
    order[i] = order[other] as number;
    order[other] = kept;
  }
  return order;
}

/** Window after window, each acked one by one in random order until its end is the floor. */
function acks(): Micro {
  const order = shuffled(window);
  const merger = new OffsetMerger(0);
  let base = 0;
  return {
    name: 'offset merger: acks in random order, window of 1 M',
    perCall: window,
    unit: 'acks',
    perSecondAtLeast: 20e6,
    call() {
      for (let i = 0; i < window; i++) merger.confirm(base + (order[i] as number), 1);
      base += window;
    },
  };
}

/** Acks anywhere in offsets of a map. */
function scattered(acks: number, offsets: number): OffsetMerger {
  const merger = new OffsetMerger(0);
  for (const at of shuffled(offsets - 1).subarray(0, acks)) merger.confirm(at + 1, 1);
  return merger;
}

function thousandRuns(): OffsetMerger {
  const merger = new OffsetMerger(0);
  for (let i = 0; i < 1_000; i++) merger.confirm(1 + i * 131, 70);
  return merger;
}

function everySecond(): OffsetMerger {
  const merger = new OffsetMerger(0);
  for (let at = 1; at < mapped; at += 2) merger.confirm(at, 1);
  return merger;
}

interface Shape {
  readonly name: string;
  readonly offsets: number;
  make(): OffsetMerger;
}

/** So many acks anywhere in a map: where few are scattered, every form of a chunk is tried. */
function sparse(percent: number): Shape {
  const acks = Math.round((mapped * percent) / 100);
  return {
    name: `${percent} % acked at random`,
    offsets: mapped,
    make: () => scattered(acks, mapped),
  };
}

const shapes: readonly Shape[] = [
  { name: '100,000 random acks', offsets: mapped, make: () => scattered(100_000, mapped) },
  { name: '1,000 runs', offsets: mapped, make: thousandRuns },
  { name: 'every second ack', offsets: mapped, make: everySecond },
  sparse(2),
  sparse(6),
  { name: '100,000 random acks', offsets: 1_000_000, make: () => scattered(100_000, 1_000_000) },
];

function chunksOf({ make, offsets }: Shape): Int32Array[] {
  const merger = make();
  const chunks: Int32Array[] = [];
  for (let i = 0; i < offsets / CHUNK_SEQUENCES; i++) {
    const words = merger.wordsOf(i);
    if (words !== undefined) chunks.push(words.slice());
  }
  return chunks;
}

function microOf(does: string, { name, offsets }: Shape, call: () => void): Micro {
  return {
    name: `ack map: ${does} ${offsets.toLocaleString('en')} offsets, ${name}`,
    perCall: offsets,
    unit: 'offsets',
    callMsAtMost: Math.floor(offsets / mapped),
    call,
  };
}

function encode(shape: Shape): Micro {
  const chunks = chunksOf(shape);
  return microOf('encode', shape, () => {
    for (const words of chunks) encodeAckChunk(words);
  });
}

function decode(shape: Shape): Micro {
  const chunks = chunksOf(shape).map(encodeAckChunk);
  return microOf('decode', shape, () => {
    const merger = new OffsetMerger(0);
    for (let i = 0; i < chunks.length; i++) loadAckChunk(chunks[i] as Buffer, i, merger);
  });
}

/** What keeps track of acks, and what it writes down. */
export function offsetMicros(): Micro[] {
  return [acks(), ...shapes.map(encode), ...shapes.map(decode)];
}

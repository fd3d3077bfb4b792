import { encodeAckChunk, loadAckChunk } from '../../src/offsets/ack-map.ts';
import { CHUNK_SEQUENCES } from '../../src/offsets/bits.ts';
import { OffsetMerger } from '../../src/offsets/offset-merger.ts';
import type { Micro } from './micro.ts';

const window = 1 << 20;
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

/** 100,000 acks anywhere in the offsets of a map. */
function scattered(): OffsetMerger {
  const merger = new OffsetMerger(0);
  for (const at of shuffled(mapped - 1).subarray(0, 100_000)) merger.confirm(at + 1, 1);
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

const shapes = {
  '100,000 random acks': scattered,
  '1,000 runs': thousandRuns,
  'every second ack': everySecond,
} as const;

function chunksOf(merger: OffsetMerger): Int32Array[] {
  const chunks: Int32Array[] = [];
  for (let i = 0; i < mapped / CHUNK_SEQUENCES; i++) {
    const words = merger.wordsOf(i);
    if (words !== undefined) chunks.push(words.slice());
  }
  return chunks;
}

function encode(shape: keyof typeof shapes): Micro {
  const chunks = chunksOf(shapes[shape]());
  return {
    name: `ack map: encode 131,072 offsets, ${shape}`,
    perCall: mapped,
    unit: 'offsets',
    callMsAtMost: 1,
    call() {
      for (const words of chunks) encodeAckChunk(words);
    },
  };
}

function decode(shape: keyof typeof shapes): Micro {
  const chunks = chunksOf(shapes[shape]()).map(encodeAckChunk);
  return {
    name: `ack map: decode 131,072 offsets, ${shape}`,
    perCall: mapped,
    unit: 'offsets',
    callMsAtMost: 1,
    call() {
      const merger = new OffsetMerger(0);
      for (let i = 0; i < chunks.length; i++) loadAckChunk(chunks[i] as Buffer, i, merger);
    },
  };
}

/** What keeps track of acks, and what it writes down. */
export function offsetMicros(): Micro[] {
  const names = Object.keys(shapes) as (keyof typeof shapes)[];
  return [acks(), ...names.map(encode), ...names.map(decode)];
}

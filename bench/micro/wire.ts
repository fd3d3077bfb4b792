import { FrameDecoder } from '../../protocol/src/frame-decoder.ts';
import { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { ProducedForm } from '../../protocol/src/generated.ts';
import { decodeProduce, encodeProduce } from '../../protocol/src/produce.ts';
import { beginProduced, writePlain } from '../../protocol/src/produced.ts';
import type { Micro } from './micro.ts';

/** Messages of one connection's turn. */
export const turnMessages = 64;

/** `count` PRODUCE frames back to back, with keys, sequences and correlation ids from 1. */
export function produceFrames(count: number, size: number, topic = 1): Buffer {
  const writer = new FrameWriter();
  const value = Buffer.alloc(size, 'v');
  for (let i = 1; i <= count; i++) {
    const head = { topic, correlationId: i, sequence: i, replicated: false };
    const key = `k${String(i * 7).padStart(7, '0')}`;
    encodeProduce(writer, head, { key, value });
  }
  return Buffer.from(writer.view());
}

/** Reads a chunk frame by frame, without looking into the bodies: what the main thread does. */
function frameScan(size: number): Micro {
  const chunk = produceFrames(turnMessages, size);
  const decoder = new FrameDecoder({ frameBytesMax: 1 << 20 });
  return {
    name: `frame scan, ${size} B`,
    perCall: turnMessages,
    unit: 'frames',
    call() {
      decoder.push(chunk);
      while (decoder.next() !== undefined);
    },
  };
}

function encode(size: number): Micro {
  const writer = new FrameWriter();
  const value = Buffer.alloc(size, 'v');
  const key = Buffer.from('k0001234');
  return {
    name: `encode PRODUCE, ${size} B`,
    perCall: turnMessages,
    unit: 'messages',
    call() {
      writer.reset();
      for (let i = 1; i <= turnMessages; i++) {
        const head = { topic: 1, correlationId: i, sequence: i, replicated: false };
        encodeProduce(writer, head, { key, value });
      }
    },
  };
}

function decode(size: number): Micro {
  const chunk = produceFrames(turnMessages, size);
  const decoder = new FrameDecoder({ frameBytesMax: 1 << 20 });
  return {
    name: `decode PRODUCE, ${size} B`,
    perCall: turnMessages,
    unit: 'messages',
    call() {
      decoder.push(chunk);
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        decodeProduce(frame);
      }
    },
  };
}

function answers(): Micro {
  const writer = new FrameWriter();
  return {
    name: 'encode PRODUCED, one run',
    perCall: 1,
    unit: 'frames',
    call() {
      writer.reset();
      beginProduced(writer, ProducedForm.PLAIN);
      writePlain(writer, 1, turnMessages);
      writer.end();
    },
  };
}

/** Scanner and codec of protocol/. */
export function wireMicros(): Micro[] {
  return [frameScan(100), frameScan(1024), encode(100), decode(100), answers()];
}

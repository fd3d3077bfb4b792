import type { Question } from '../question.ts';
import { direct, proxy, rival } from '../sides.ts';

const one = { size: 100, connections: 1 };

export const singles: Question = {
  name: 'singles-64',
  title: 'one connection, 64 single sends in flight, 100 B',
  quick: true,
  sides: [
    direct({ ...one, inFlight: 64 }),
    proxy({ ...one, ack: 'stored' }),
    proxy({ ...one, ack: 'replicated' }),
    rival('node-rdkafka', 'single', 100),
    rival('kafkajs', 'single', 100),
  ],
  figures: [
    { measure: 'rate', of: 'stored', to: 'node-rdkafka-single', atLeast: 1.5 },
    { measure: 'rate', of: 'replicated', to: 'node-rdkafka-single', atLeast: 1.2 },
    { measure: 'rate', of: 'stored', to: 'kafkajs-single', atLeast: 8 },
    { measure: 'rate', of: 'replicated', to: 'kafkajs-single', atLeast: 5 },
    { measure: 'p50', of: 'stored', to: 'node-rdkafka-single', atMost: 1 },
    { measure: 'p50', of: 'replicated', to: 'node-rdkafka-single', atMost: 1 },
    { measure: 'p50', of: 'stored', to: 'kafkajs-single', atMost: 1 },
    { measure: 'p50', of: 'replicated', to: 'kafkajs-single', atMost: 1 },
    { measure: 'rate', of: 'stored', to: 'direct' },
  ],
};

export const oneAtATime: Question = {
  name: 'one-at-a-time',
  title: 'one connection, one message in flight, 100 B',
  quick: true,
  sides: [
    direct({ ...one, inFlight: 1 }),
    proxy({ ...one, inFlight: 1, ack: 'stored' }),
    proxy({ ...one, inFlight: 1, ack: 'replicated' }),
  ],
  figures: [
    { measure: 'p50', of: 'stored', atMost: 0.25 },
    { measure: 'p50', of: 'replicated', atMost: 0.5 },
    { measure: 'p99', of: 'stored' },
  ],
};

/** An open loop: what is offered is fixed, the latency from the intended time is asked. */
function offered(rate: number, size: number, wanted: { p50?: number; p99: number }): Question {
  // The window only bounds memory: a wide one, so that a pause is seen as latency, not as calm.
  const load = { size, rate, inFlight: 1024 };
  const p50 = { measure: 'p50', of: 'stored', atMost: wanted.p50 };
  return {
    name: `offered-${rate / 1000}k-${size === 1024 ? '1k' : size}`,
    title: `${rate} messages a second offered, ${size} B`,
    sides: [
      direct(load),
      proxy({ ...load, ack: 'stored' }),
      { ...proxy({ ...load, ack: 'replicated' }), slow: true },
    ],
    figures: [
      wanted.p50 === undefined ? { measure: 'p50', of: 'stored' } : p50,
      { measure: 'p99', of: 'stored', atMost: wanted.p99 },
      { measure: 'p50', of: 'replicated' },
      { measure: 'p99', of: 'replicated' },
      { measure: 'rate', of: 'stored', atLeast: rate * 0.99 },
    ],
  };
}

export const offered20k: Question = offered(20_000, 100, { p50: 0.6, p99: 10 });
export const offered50k: Question = offered(50_000, 100, { p50: 0.8, p99: 15 });
export const offered20k1k: Question = offered(20_000, 1024, { p99: 20 });

import type { Question } from '../question.ts';
import { direct, type ProxyLoad, proxy, rival } from '../sides.ts';

const both = (load: ProxyLoad) => [
  proxy({ ...load, ack: 'stored' }),
  proxy({ ...load, ack: 'replicated' }),
];

const hosts = (load: ProxyLoad) => [
  { ...proxy({ ...load, ack: 'stored' }, { laneHost: 'inline' }), slow: true },
  { ...proxy({ ...load, ack: 'replicated' }, { laneHost: 'inline' }), slow: true },
  { ...proxy({ ...load, ack: 'stored' }, { laneHost: 'worker' }), slow: true },
  { ...proxy({ ...load, ack: 'replicated' }, { laneHost: 'worker' }), slow: true },
];

const againstDirect = (wanted: { share: number; rate: number }) => [
  { measure: 'rate', of: 'stored', to: 'direct', atLeast: wanted.share },
  { measure: 'rate', of: 'stored', atLeast: wanted.rate },
  { measure: 'rate', of: 'replicated', to: 'stored', atLeast: 0.8 },
  { measure: 'rate', of: 'replicated', to: 'direct' },
];

const rivals = (size: number) => [
  rival('node-rdkafka', 'free', size),
  rival('node-rdkafka', 'blind', size),
  { ...rival('kafkajs', 'free', size), slow: true },
];

const againstRivals = [
  { measure: 'rate', of: 'stored', to: 'node-rdkafka-free', atLeast: 1.5 },
  { measure: 'rate', of: 'stored', to: 'node-rdkafka-blind', atLeast: 1.5 },
  { measure: 'rate', of: 'replicated', to: 'node-rdkafka-free' },
  { measure: 'rate', of: 'stored', to: 'kafkajs-free' },
];

export const throughput1k: Question = {
  name: 'throughput-1k',
  title: '64 connections × 64 in flight, 1 KiB',
  quick: true,
  sides: [direct({ size: 1024 }), ...both({ size: 1024 }), ...rivals(1024)],
  figures: [...againstDirect({ share: 0.5, rate: 150_000 }), ...againstRivals],
};

export const throughput100: Question = {
  name: 'throughput-100',
  title: '64 connections × 64 in flight, 100 B',
  quick: true,
  sides: [direct({ size: 100 }), ...both({ size: 100 }), ...rivals(100)],
  figures: [...againstDirect({ share: 0.35, rate: 300_000 }), ...againstRivals],
};

export const throughputWithoutHeader: Question = {
  name: 'throughput-100-no-header',
  title: '64 connections × 64 in flight, 100 B, idHeader: false',
  sides: [direct({ size: 100, idHeader: false }), ...both({ size: 100, idHeader: false })],
  figures: [
    { measure: 'rate', of: 'stored', atLeast: 600_000 },
    { measure: 'rate', of: 'stored', to: 'direct' },
    { measure: 'rate', of: 'replicated', to: 'stored', atLeast: 0.8 },
  ],
};

export const laneHosts100: Question = {
  name: 'lane-hosts-100',
  title: 'lanes on the main thread or in workers, 100 B',
  sides: hosts({ size: 100 }),
  figures: [
    { measure: 'rate', of: 'stored-worker', to: 'stored-inline' },
    { measure: 'rate', of: 'replicated-worker', to: 'replicated-inline' },
  ],
};

export const laneHosts1k: Question = {
  ...laneHosts100,
  name: 'lane-hosts-1k',
  title: 'lanes on the main thread or in workers, 1 KiB',
  sides: hosts({ size: 1024 }),
};

export const smallWindow: Question = {
  name: 'window-8',
  title: '64 connections × 8 in flight, 100 B',
  sides: [direct({ size: 100, inFlight: 8 }), ...both({ size: 100, inFlight: 8 })],
  figures: [
    { measure: 'rate', of: 'stored', atLeast: 200_000 },
    { measure: 'rate', of: 'replicated', to: 'stored', atLeast: 0.8 },
    { measure: 'rate', of: 'stored', to: 'direct' },
  ],
};

export const embedded100: Question = {
  name: 'embedded-100',
  title: 'the embedded log beside Kafka, 100 B',
  sides: [proxy({ size: 100 }), proxy({ size: 100 }, { backend: 'embedded' }, 'embedded')],
  figures: [{ measure: 'rate', of: 'embedded', to: 'stored', atLeast: 0.9 }],
};

export const embedded1k: Question = {
  ...embedded100,
  name: 'embedded-1k',
  title: 'the embedded log beside Kafka, 1 KiB',
  sides: [proxy({ size: 1024 }), proxy({ size: 1024 }, { backend: 'embedded' }, 'embedded')],
};

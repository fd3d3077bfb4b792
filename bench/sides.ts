import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Meter } from './meter.ts';
import { type NodeOptions, withNode } from './node.ts';
import { runClient, runNative } from './programs.ts';
import type { Side, Span } from './question.ts';
import type { RunResult } from './result.ts';
import { type Rig, withFolder } from './rig.ts';

/** The load; the generator's own defaults are 10,000 keys and values half random. */
export interface Load {
  readonly size: number;
  readonly connections?: number;
  readonly inFlight?: number;
  /** Messages a second: an open loop. */
  readonly rate?: number;
}

const spanFlags = ({ seconds, warmupSeconds }: Span) => ({
  duration: seconds,
  warmup: warmupSeconds,
});

/** librdkafka from C, without a node: what everything is compared with. */
export function direct(load: Load & { readonly idHeader?: boolean }, name = 'direct'): Side {
  const window = (load.connections ?? 64) * (load.inFlight ?? 64);
  return {
    name,
    run: (rig, span) =>
      rig.withTopic(async (topic) => {
        const meter = new Meter({ kafka: rig.kafkaPid });
        const report = await runNative('mq_direct', {
          ...spanFlags(span),
          brokers: rig.brokers,
          topic,
          size: load.size,
          'in-flight': window,
          rate: load.rate ?? 0,
          'id-header': load.idHeader === false ? 'off' : 'on',
        });
        return meter.result(report, await rig.records(topic));
      }),
  };
}

/** Another client library, in a process of its own. */
export function rival(
  library: 'node-rdkafka' | 'kafkajs',
  mode: 'free' | 'blind' | 'single',
  size: number,
): Side {
  return {
    name: `${library}-${mode}`,
    run: (rig, span) =>
      rig.withTopic(async (topic) => {
        const meter = new Meter({ kafka: rig.kafkaPid });
        const flags = { ...spanFlags(span), brokers: rig.brokers, topic, size, mode };
        const report = await runClient(library, flags);
        return meter.result(report, await rig.records(topic));
      }),
  };
}

/** What is asked of a node. */
export interface ProxyLoad extends Load {
  readonly ack?: 'stored' | 'replicated';
  /** False: nothing of ours on the records. */
  readonly idHeader?: boolean;
}

/** A node with an empty folder and a topic of its own, measured and drained. */
export function proxy(load: ProxyLoad, options: NodeOptions = {}, name?: string): Side {
  const host = options.laneHost === undefined ? '' : `-${options.laneHost}`;
  return {
    name: name ?? `${load.ack ?? 'stored'}${host}`,
    run: (rig, span) =>
      options.backend === 'embedded'
        ? measure(rig, span, load, options, 'bench')
        : rig.withTopic((topic) =>
            withTopicSettings(topic, load, (args) =>
              measure(rig, span, load, { ...options, args }, topic),
            ),
          ),
  };
}

function withTopicSettings<T>(
  topic: string,
  { idHeader = true }: ProxyLoad,
  use: (args: readonly string[]) => Promise<T>,
): Promise<T> {
  if (idHeader) return use([]);
  return withFolder((folder) => {
    const file = join(folder, 'mqproxy.yaml');
    writeFileSync(file, `topics:\n  overrides:\n    ${topic}:\n      idHeader: false\n`);
    return use(['--config', file]);
  });
}

function measure(
  rig: Rig,
  span: Span,
  load: ProxyLoad,
  options: NodeOptions,
  topic: string,
): Promise<RunResult> {
  return withNode(rig, options, async (node) => {
    const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
    const report = await runNative('mq_load', loadFlags(node.port, topic, load, span));
    const drainSeconds = await node.drained();
    const records = options.backend === 'embedded' ? node.records(topic) : rig.records(topic);
    return meter.result(report, await records, drainSeconds);
  });
}

/** The words of `mq_load` for a load. */
export function loadFlags(port: number, topic: string, load: ProxyLoad, span: Span) {
  return {
    ...spanFlags(span),
    port,
    topic,
    size: load.size,
    connections: load.connections ?? 64,
    'in-flight': load.inFlight ?? 64,
    rate: load.rate ?? 0,
    ack: load.ack ?? 'stored',
  };
}

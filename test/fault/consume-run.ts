import { join } from 'node:path';
import { DEAD_HEADER_NAME, decodeDeadHeader } from '../../protocol/src/dead-header.ts';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { kafkaClient, scanTopic } from '../support/kafka-read.ts';
import { Seeded } from '../support/seeded.ts';
import type { TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, until } from '../support/wait.ts';
import { keep } from './checker/check-run.ts';
import {
  ConsumeChecker,
  type ConsumeCounts,
  type EnoughConsumed,
} from './checker/consume-checker.ts';
import { ConsumeHistory } from './checker/consume-history.ts';
import { dumpEmbedded, dumpKafka } from './checker/dump.ts';
import { HistoryConsumers, type LivingNode } from './checker/history-consumers.ts';
import type { Verdicts } from './checker/verdicts.ts';

/** Deliveries of a message in these runs. */
const ATTEMPTS = 4;

/** Arguments of every node whose group such a run consumes. */
export const consumeArgs: readonly string[] = [
  '--retry.attempts',
  `${ATTEMPTS}`,
  '--retry.backoff.table',
  // The second one outlasts a commit, so that a kill finds messages that wait.
  '50,1500,100',
  '--cluster.secret',
  'the nodes of this run share it',
  '--topics.replication-factor',
  '1',
];

/** What is consumed, and how. */
export interface ConsumeRunOptions {
  readonly topics: readonly string[];
  /** Nodes that read them. The consumers are shared out among them. */
  readonly nodes: readonly TestServer[];
  /** Where the topics lie, the primary first; absent: the embedded log of the first node. */
  readonly brokers?: readonly string[];
  readonly seed: number;
  readonly consumers?: number;
  readonly leaseMs?: number;
}

/** What came of it. */
export interface ConsumeResult {
  readonly counts: ConsumeCounts;
  readonly verdicts: Verdicts;
}

/** A node and its lives, whose consumers write a history. */
class Mortal implements LivingNode {
  readonly server: TestServer;
  life: number;

  constructor(server: TestServer, life: number) {
    this.server = server;
    this.life = life;
  }

  get mqp() {
    return this.server.mqp;
  }
}

/** A group whose consumers write a history while a test does things to them and to their nodes. */
export class ConsumeRun {
  readonly group = uniqueTopic('group');
  readonly history: ConsumeHistory;
  readonly consumers: HistoryConsumers;
  readonly #options: ConsumeRunOptions;
  readonly #nodes: readonly Mortal[];
  #lives = 0;
  #faults: Promise<void> = Promise.resolve();
  #isOver = false;

  constructor(options: ConsumeRunOptions) {
    const { topics, nodes, seed, consumers = 4, leaseMs = 3_000 } = options;
    this.#options = options;
    this.history = new ConsumeHistory(join(tempDir('mqproxy-history-'), 'consumed'));
    const random = new Seeded(seed + 1);
    const { group, history } = this;
    this.consumers = new HistoryConsumers({ history, random, group, topics, leaseMs });
    this.#nodes = nodes.map((server) => new Mortal(server, this.#lives++));
    for (let i = 0; i < consumers; i++) {
      this.consumers.add(this.#nodes[i % nodes.length] as Mortal);
    }
  }

  /** Kills and freezes consumers, one after the other, until the run ends. */
  disturb(everyMs: number): void {
    const random = new Seeded(this.#options.seed + 2);
    const go = async (): Promise<void> => {
      while (!this.#isOver) {
        await passing(random.below(2 * everyMs));
        if (random.below(2) === 0) this.consumers.killOne();
        else await this.consumers.freezeOne();
      }
    };
    this.#faults = go();
  }

  /** To be called when a node is about to be killed: what it said last may be forgotten. */
  killed(server: TestServer): void {
    const node = this.#nodes.find((one) => one.server === server);
    if (node === undefined) return;
    this.history.killed(node.life);
    node.life = this.#lives++;
  }

  /** Waits for so many more deliveries that consumers settled. */
  async untilAcked(more = 100, timeoutMs = 60_000): Promise<void> {
    const goal = this.history.counts.acked + more;
    const what = `${more} more acks`;
    await until(() => this.history.counts.acked >= goal, { timeoutMs, what });
  }

  /** Waits until the group has finished everything, and checks. Nothing is produced any more. */
  async end(enough: EnoughConsumed = {}, timeoutMs = 120_000): Promise<ConsumeResult> {
    this.#isOver = true;
    await this.#faults;
    await until(() => this.#isFinished(), {
      timeoutMs,
      everyMs: 200,
      what: 'the group to finish everything',
    }).catch((error: unknown) => console.log(String(error)));
    await this.consumers.stop();
    this.history.close();
    const checker = new ConsumeChecker(ATTEMPTS);
    await checker.readHistory(this.history.path);
    await this.#dump(checker);
    const verdicts = checker.verdicts(enough);
    if (!verdicts.isClean) verdicts.keptIn = keep([this.history.path]);
    return { counts: checker.counts(), verdicts };
  }

  /** The same, for a run in which nothing may be found. Prints the counts. */
  async endWell(enough: EnoughConsumed = {}, timeoutMs?: number): Promise<ConsumeResult> {
    const result = await this.end(enough, timeoutMs);
    const said = Object.entries(result.counts).map(([name, count]) => `${name}=${count}`);
    console.log(`consumed: ${said.join(' ')}`);
    result.verdicts.assertClean();
    return result;
  }

  async #isFinished(): Promise<boolean> {
    const [node] = this.#nodes;
    if (node === undefined) return true;
    const client = await MqpClient.connect({ servers: [addressOf(node)] });
    try {
      const { partitions, unreachable } = await client.groups.describe(this.group);
      // A cluster that did not answer has its say later: its partitions are not among these.
      if (unreachable !== undefined) return false;
      const read = partitions.filter(({ topic }) => this.#options.topics.includes(topic));
      return (
        read.length > 0 &&
        read.every(({ lag, floor, endOffset }) => {
          return lag === 0 && floor === endOffset;
        })
      );
    } catch {
      return false;
    } finally {
      await client.close();
    }
  }

  async #dump(checker: ConsumeChecker): Promise<void> {
    const { topics, brokers } = this.#options;
    const [node] = this.#nodes;
    if (node === undefined) return;
    const onRecord: Parameters<typeof dumpKafka>[2] = (record) =>
      checker.found({ ...record, cluster: record.cluster === 'primary' ? 0 : 1 });
    const onLetter = (id: string, headers: Headers): void => {
      const [, value] = headers.find(([name]) => name === DEAD_HEADER_NAME) ?? [];
      if (value === undefined || value === null) return;
      const { attempts, cause, ...of } = decodeDeadHeader(Buffer.from(value));
      checker.letter({ id, attempts, cause, of });
    };
    const dead = topics.map((topic) => `${topic}.${this.group}.dlq`);
    if (brokers === undefined) {
      await dumpEmbedded(addressOf(node), topics, onRecord);
      for (const topic of dead) await eachEmbedded(addressOf(node), topic, onLetter);
    }
    for (const [i, at] of (brokers ?? []).entries()) {
      const cluster = i === 0 ? 'primary' : 'backup';
      await dumpKafka({ brokers: at, cluster }, await there(at, topics), onRecord);
      for (const topic of await there(at, dead)) {
        await scanTopic(at, topic, ({ mq, headers }) => onLetter(mq?.id ?? '', headers));
      }
    }
  }
}

/** Those of the topics that a cluster has: a backup may have none, and so may who lost nothing. */
async function there(brokers: string, topics: readonly string[]): Promise<string[]> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  const all = new Set(await admin.listTopics());
  await admin.disconnect();
  return topics.filter((topic) => all.has(topic));
}

type Headers = readonly (readonly [name: string, value: Uint8Array | null])[];

function addressOf({ mqp }: LivingNode): string {
  return `${mqp.host}:${mqp.port}`;
}

/** The id and the headers of every record of a topic of the embedded log. */
async function eachEmbedded(
  server: string,
  topic: string,
  onRecord: (id: string, headers: Headers) => void,
): Promise<void> {
  const client = await MqpClient.connect({ servers: [server] });
  try {
    const found = await client.describeTopic(topic).catch(() => ({ partitions: [] }));
    for (const { partition, startOffset, endOffset } of found.partitions) {
      if (endOffset === startOffset) continue;
      for await (const record of client.tail(topic, { from: 'beginning', partition })) {
        onRecord(record.id ?? '', record.headers);
        if (record.offset === endOffset - 1) break;
      }
    }
  } finally {
    await client.close();
  }
}

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { createKafka, type KafkaBroker } from '../test/support/kafka.ts';
import { until } from '../test/support/wait.ts';

/** Partitions of every topic that is measured. */
export const partitions = 4;

const heapMaxMib = 1024;

/** What a topic of a run is to be. */
export interface TopicShape {
  /** Default {@link partitions}. */
  readonly partitions?: number;
  /** Its settings in Kafka. */
  readonly config?: Readonly<Record<string, string>>;
}

/** The one Kafka of a run, and topics that come and go. */
export class Rig {
  /** `HOST:PORT`. */
  readonly brokers: string;
  readonly #broker: KafkaBroker | undefined;
  readonly #admin: Admin;

  /** Starts a broker with its log in `folder`, or takes the one at `given`. */
  static async open(given: string | undefined, folder?: string): Promise<Rig> {
    const broker =
      given === undefined ? await createKafka({ heapMaxMib, isMeasured: true, folder }) : undefined;
    if (broker) process.once('exit', () => broker.killNow());
    await broker?.start();
    const brokers = given ?? broker?.address ?? '';
    const kafka = new Kafka({ clientId: 'bench', brokers: [brokers], logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    await admin.connect();
    return new Rig(brokers, admin, broker);
  }

  private constructor(brokers: string, admin: Admin, broker: KafkaBroker | undefined) {
    this.brokers = brokers;
    this.#admin = admin;
    this.#broker = broker;
  }

  /** Undefined when the broker is not ours. */
  get kafkaPid(): number | undefined {
    return this.#broker?.pid;
  }

  /** Freezes the broker; false when it is not ours. */
  pauseKafka(): boolean {
    this.#broker?.pause();
    return this.#broker !== undefined;
  }

  resumeKafka(): void {
    this.#broker?.resume();
  }

  /** A topic for one run; its files go a second after it. */
  async withTopic<T>(use: (topic: string) => Promise<T>, shape: TopicShape = {}): Promise<T> {
    const topic = `bench-${randomBytes(5).toString('hex')}`;
    const config = { 'file.delete.delay.ms': '1000', ...shape.config };
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    const numPartitions = shape.partitions ?? partitions;
    const one = { topic, numPartitions, replicationFactor: 1, configEntries };
    // kafkajs gives up waiting for leaders where a busy broker does not know the topic at once.
    await this.#admin.createTopics({ topics: [one], waitForLeaders: false });
    await until(() => this.#hasLeaders(topic), { timeoutMs: 60_000, what: `leaders of ${topic}` });
    try {
      return await use(topic);
    } finally {
      await this.#admin.deleteTopics({ topics: [topic] });
    }
  }

  /** Removes a topic that a node made, if it is there. */
  async dropTopic(topic: string): Promise<void> {
    if (!(await this.#admin.listTopics()).includes(topic)) return;
    await this.#admin.deleteTopics({ topics: [topic] });
  }

  async #hasLeaders(topic: string): Promise<boolean> {
    try {
      const { topics } = await this.#admin.fetchTopicMetadata({ topics: [topic] });
      return topics[0]?.partitions.every(({ leader }) => leader >= 0) === true;
    } catch {
      return false;
    }
  }

  /** Records in a topic that nobody deleted from. */
  async records(topic: string): Promise<number> {
    const offsets = await this.#admin.fetchTopicOffsets(topic);
    return offsets.reduce((sum, { offset }) => sum + Number(offset), 0);
  }

  /** Bytes of a topic's log on the disk of our own broker, else 0. */
  logBytes(topic: string): number {
    return this.#broker?.logBytes(topic) ?? 0;
  }

  async close(): Promise<void> {
    await this.#admin.disconnect();
    await this.#broker?.close();
  }
}

/** An empty folder for one run, gone after it. */
export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'mqproxy-bench-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  process.once('exit', remove);
  try {
    return await use(folder);
  } finally {
    process.off('exit', remove);
    remove();
  }
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PublishRoad } from '../../../../src/backend/kafka/publish-road.ts';
import type { PublishRecord } from '../../../../src/backend/publisher-port.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import type {
  KafkaProducer,
  KafkaProducerOptions,
  ProduceRequest,
  ProduceResult,
} from '../../../../src/native/kafka.ts';
import { FakeClock } from '../embedded/doubles.ts';

const LOOK_MS = 100;
const TIMEOUT_MS = 30_000;

/** A native producer that breaks, and of which a new instance can be made or not. */
class FakeProducer
  implements
    Pick<
      KafkaProducer,
      'setTopic' | 'produce' | 'partitionCount' | 'renew' | 'generation' | 'flush' | 'close'
    >
{
  generation = 1;
  isBroken = false;
  /** No new instance can be made. */
  isBarren = false;
  renewals = 0;
  private readonly options: KafkaProducerOptions;

  constructor(options: KafkaProducerOptions) {
    this.options = options;
  }

  setTopic(): void {}

  partitionCount(): number {
    return 1;
  }

  produce({ firstSequence, segmentCounts }: ProduceRequest): ProduceResult {
    const [count = 0] = segmentCounts;
    if (this.isBroken) return { sent: 0, nextOrdinal: 0, fatal: true, deferred: [] };
    const row = [1, firstSequence, count, 0, 0, 7, this.generation];
    queueMicrotask(() => this.options.onVerdicts(Float64Array.from(row), 1));
    return { sent: count, nextOrdinal: count, fatal: false, deferred: [] };
  }

  /** As the native one: it does nothing when the generation is not `ofGeneration` any more. */
  renew(ofGeneration: number): number {
    this.renewals++;
    if (this.generation !== ofGeneration) return this.generation;
    if (this.isBarren) throw new RangeError('ssl.key.location failed: no such file');
    this.isBroken = false;
    return ++this.generation;
  }

  break(): void {
    this.isBroken = true;
    this.options.onEvent?.('fatal', -150, 'fenced');
  }

  async flush(): Promise<boolean> {
    return true;
  }

  async close(): Promise<void> {}
}

function open() {
  const clock = new FakeClock();
  let producer: FakeProducer | undefined;
  const road = new PublishRoad({
    key: 'publish-primary',
    config: {},
    clock,
    log: silentLogger(),
    timeoutMs: TIMEOUT_MS,
    open: (options) => {
      producer = new FakeProducer(options);
      return producer as unknown as KafkaProducer;
    },
  });
  assert(producer);
  return { clock, road, producer };
}

const record: PublishRecord = {
  topic: 'orders',
  key: null,
  value: Buffer.from('value'),
  headers: new Uint8Array(0),
};

test('a producer that cannot be renewed is tried again at every look, and sends what waits then', async () => {
  const { clock, road, producer } = open();
  producer.isBarren = true;
  producer.break();
  const sent = road.send([record]);
  clock.advance(5 * LOOK_MS);
  assert.equal(producer.renewals, 6);
  producer.isBarren = false;
  clock.advance(LOOK_MS);
  assert.deepEqual(await sent, [{ partition: 0, offset: 7 }]);
  assert.equal(producer.generation, 2);
  await road.close();
});

test('an instance that another holder has renewed is not given up again', async () => {
  const { clock, road, producer } = open();
  producer.isBarren = true;
  producer.break();
  const sent = road.send([record]);
  clock.advance(LOOK_MS);
  producer.isBarren = producer.isBroken = false;
  producer.generation++;
  clock.advance(LOOK_MS);
  assert.deepEqual(await sent, [{ partition: 0, offset: 7 }]);
  assert.equal(producer.generation, 2);
  await road.close();
});

test('what waits for a producer that cannot be renewed is given up in time', async () => {
  const { clock, road, producer } = open();
  producer.isBarren = true;
  producer.isBroken = true;
  const sent = road.send([record]);
  clock.advance(TIMEOUT_MS + LOOK_MS);
  const [verdict] = await sent;
  assert.deepEqual(verdict && 'code' in verdict && verdict.code, 'BACKEND_UNAVAILABLE');
  await road.close();
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JoinOptions } from '../../../../src/backend/consumer-port.ts';
import {
  KafkaMember,
  type KafkaMemberOptions,
} from '../../../../src/backend/kafka/kafka-member.ts';
import { coded } from '../../../../src/base/errors.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import type { KafkaGroup } from '../../../../src/native/kafka-group.ts';
import { FakeClock } from '../embedded/doubles.ts';

const places = [{ topic: 't', partition: 0 }];
const join = { group: 'g', topics: ['t'], clientId: 'node-1' } as unknown as JoinOptions;
/** Its clock stands: nothing is asked. */
const watch: KafkaMemberOptions['watch'] = {
  groups: { assignment: async () => undefined },
  topics: { leaders: async () => undefined },
  clock: new FakeClock(),
  logger: silentLogger(),
};

/** A member whose native part answers as `native` says, and another connection as `aside`. */
function memberOf(native: () => Promise<unknown>, aside: () => Promise<unknown>) {
  const asked: string[] = [];
  const group = {
    committed: () => {
      asked.push('native');
      return native();
    },
  } as unknown as KafkaGroup;
  const member = new KafkaMember({
    join,
    config: {},
    open: () => group,
    askAside: () => {
      asked.push('aside');
      return aside() as ReturnType<KafkaMember['committed']>;
    },
    watch,
    onClosed: () => undefined,
  });
  return { member, asked };
}

const timedOut = () => Promise.reject(coded('BACKEND_UNAVAILABLE', 'Local: Timed out'));
const found = [{ topic: 't', partition: 0, offset: 5, metadata: 'm' }];

test('commits that the native member does not tell are asked for elsewhere, and then at once', async () => {
  const { member, asked } = memberOf(timedOut, async () => found);
  assert.deepEqual(await member.committed(places), found);
  assert.deepEqual(await member.committed(places), found);
  assert.deepEqual(asked, ['native', 'aside', 'aside']);
});

test('nobody else is asked while the native member answers, or when it is refused', async () => {
  const well = memberOf(
    async () => found,
    async () => [],
  );
  assert.deepEqual(await well.member.committed(places), found);
  assert.deepEqual(well.asked, ['native']);
  const refused = memberOf(
    () => Promise.reject(coded('NOT_AUTHORIZED', 'no right')),
    async () => found,
  );
  await assert.rejects(refused.member.committed(places), { code: 'NOT_AUTHORIZED' });
  assert.deepEqual(refused.asked, ['native']);
});

test('a cluster that is away is away by either way', async () => {
  const { member, asked } = memberOf(timedOut, timedOut);
  await assert.rejects(member.committed(places), { code: 'BACKEND_UNAVAILABLE' });
  await assert.rejects(member.committed(places), { code: 'BACKEND_UNAVAILABLE' });
  assert.deepEqual(asked, ['native', 'aside', 'native', 'aside']);
});

test('what is fetched ahead of a partition is bounded as its reader asks', () => {
  const kbytesOf = (more: Partial<JoinOptions>) => {
    let kbytes: string | undefined;
    new KafkaMember({
      join: { ...join, ...more },
      config: {},
      open: ({ config }) => {
        kbytes = config['queued.max.messages.kbytes'];
        return {} as KafkaGroup;
      },
      askAside: async () => [],
      watch,
      onClosed: () => undefined,
    });
    return kbytes;
  };
  assert.equal(kbytesOf({}), undefined, 'the default of all groups holds');
  assert.equal(kbytesOf({ aheadBytesMax: 1024 * 1024 }), '1024');
  assert.equal(kbytesOf({ aheadBytesMax: 1 }), '1');
});

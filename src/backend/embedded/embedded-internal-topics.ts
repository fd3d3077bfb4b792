import { isEnough, roleRefused } from '../internal-topic-check.ts';
import type { InternalTopicSpec, InternalTopics } from '../publisher-port.ts';
import type { EmbeddedBackend } from './embedded-backend.ts';
import { isTopicSetting } from './topic-config.ts';

/** Internal topics in the embedded log. Settings that only Kafka has mean nothing here. */
export class EmbeddedInternalTopics implements InternalTopics {
  readonly cluster = 0;
  readonly #backend: EmbeddedBackend;

  constructor(backend: EmbeddedBackend) {
    this.#backend = backend;
  }

  async ensure({ name, partitions, config, isPublic }: InternalTopicSpec): Promise<void> {
    const own = Object.fromEntries(Object.entries(config).filter(([key]) => isTopicSetting(key)));
    const known = this.#backend.bookedTopic(name);
    if (known === undefined) {
      await this.#backend.makeTopic({ name, partitions, config: own });
      return;
    }
    const found = { ...known.config, partitions: String(known.partitions) };
    for (const [setting, needed] of Object.entries({ ...own, partitions: String(partitions) })) {
      const has = found[setting as keyof typeof found] ?? 'not set';
      if (isEnough(setting, has, needed)) continue;
      throw roleRefused({ topic: name, setting, found: has, needed });
    }
    const extra = Object.keys(known.config).find((setting) => !(setting in own));
    if (extra === undefined || isPublic === true) return;
    const has = known.config[extra] ?? '';
    throw roleRefused({ topic: name, setting: extra, found: has, needed: 'not set' });
  }
}

import { type Clock, sleep } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';

const PROBE_EVERY_MS = 5_000;

/** Parts of {@link MissingTopics}. */
export interface MissingTopicsParts {
  readonly clock: Clock;
  readonly log: Logger;
  /** Asks the cluster itself. False: it has no such topic. Rejects when it cannot be asked. */
  probe(name: string): Promise<boolean>;
  /**
   * Gives up what waits for the topic, as far as the undeliverable log has room. Answers the number
   * of messages.
   */
  drop(id: number): Promise<number>;
}

/**
 * Topics that lanes cannot send because the cluster does not seem to know them. "Unknown topic" is
 * not final by itself: only when the cluster, asked again and again, has said for a minute that
 * there is none, the messages that wait for it are given up.
 */
export class MissingTopics {
  private readonly parts: MissingTopicsParts;
  /** Topics that are being asked about, by id. */
  private readonly watched = new Set<number>();
  private isClosed = false;

  constructor(parts: MissingTopicsParts) {
    this.parts = parts;
  }

  /** A lane met an unknown topic. */
  report(id: number, name: string): void {
    if (this.isClosed || this.watched.has(id)) return;
    this.watched.add(id);
    void this.watch(id, name)
      .catch((error: unknown) => {
        const { log } = this.parts;
        log.error({ topic: name, code: codeOf(error) }, `not given up: ${messageOf(error)}`);
      })
      .finally(() => this.watched.delete(id));
  }

  close(): void {
    this.isClosed = true;
  }

  private async watch(id: number, name: string): Promise<void> {
    const { clock, log } = this.parts;
    let missingSinceMs: number | undefined;
    for (;;) {
      await sleep(clock, PROBE_EVERY_MS);
      if (this.isClosed) return;
      const found = await this.parts.probe(name).catch(() => undefined);
      if (found === true || this.isClosed) return;
      const now = clock.monotonic();
      // A cluster that cannot be asked says nothing: the minute begins anew.
      missingSinceMs = found === undefined ? undefined : (missingSinceMs ?? now);
      if (missingSinceMs === undefined) continue;
      if (missingSinceMs === now) log.warn({ topic: name }, 'the cluster knows no such topic');
      if (now - missingSinceMs < limits.topicMissingMs) continue;
      const messages = await this.parts.drop(id);
      const words =
        messages > 0
          ? 'given up as far as the undeliverable log has room: it has these messages now'
          : 'nothing is given up: nothing waits, or the undeliverable log has no room';
      log.error({ topic: name, messages }, words);
      return;
    }
  }
}

import type { KafkaTopic } from './kafka-topics.ts';

/** Topics as last described, with the time of it. */
export class TopicCache {
  readonly #topics = new Map<string, { topic: KafkaTopic; atMs: number }>();
  readonly #max: number;

  /** At most `max` topics; the one described longest ago goes first. */
  constructor(max: number) {
    this.#max = max;
  }

  /** The topic, when it was described not more than `ageMaxMs` before `nowMs`. */
  get(name: string, nowMs: number, ageMaxMs: number): KafkaTopic | undefined {
    const entry = this.#topics.get(name);
    return entry === undefined || nowMs - entry.atMs > ageMaxMs ? undefined : entry.topic;
  }

  put(topic: KafkaTopic, nowMs: number): void {
    this.#topics.delete(topic.name);
    this.#topics.set(topic.name, { topic, atMs: nowMs });
    for (const name of this.#topics.keys()) {
      if (this.#topics.size <= this.#max) break;
      this.#topics.delete(name);
    }
  }

  delete(name: string): void {
    this.#topics.delete(name);
  }

  names(): string[] {
    return [...this.#topics.keys()];
  }
}

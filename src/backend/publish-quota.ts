/** How much a publisher may have without a verdict. */
export interface PublishQuotaOptions {
  /** Bytes in all. */
  readonly bytesMax: number;
  /** Bytes of one topic, so that one that is stuck leaves room for the others. */
  readonly topicBytesMax: number;
}

/** Counts the bytes that wait for a verdict, in all and by topic. */
export class PublishQuota {
  readonly #options: PublishQuotaOptions;
  readonly #topics = new Map<string, number>();
  #bytes = 0;

  constructor(options: PublishQuotaOptions) {
    this.#options = options;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes room, or says why there is none. One record fits an empty quota, however long. */
  take(topic: string, bytes: number): string | undefined {
    const { bytesMax, topicBytesMax } = this.#options;
    const ofTopic = this.#topics.get(topic) ?? 0;
    if (ofTopic > 0 && ofTopic + bytes > topicBytesMax) {
      return `${ofTopic} bytes for topic ${topic} wait already`;
    }
    if (this.#bytes > 0 && this.#bytes + bytes > bytesMax) {
      return `${this.#bytes} bytes wait already`;
    }
    this.#topics.set(topic, ofTopic + bytes);
    this.#bytes += bytes;
    return undefined;
  }

  give(topic: string, bytes: number): void {
    const left = (this.#topics.get(topic) ?? 0) - bytes;
    if (left > 0) this.#topics.set(topic, left);
    else this.#topics.delete(topic);
    this.#bytes -= bytes;
  }
}

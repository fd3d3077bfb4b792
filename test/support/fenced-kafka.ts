import { VarintReader } from '../../src/offsets/varint.ts';
import {
  apiKey,
  apiOf,
  correlationOfAnswer,
  correlationOfRequest,
  type Relay,
  startFramedKafka,
  versionOf,
} from './framed-kafka.ts';

/** From this version on an answer has compact arrays and tagged fields (KIP-482). */
const FLEXIBLE_FROM = 9;
const LENGTH_AND_CORRELATION_BYTES = 8;
const INT32_BYTES = 4;

/** Reads what comes before a place in an answer: Kafka's varints are as those of ack maps. */
class Skipper extends VarintReader {
  string(): void {
    const bytes = this.next() - 1;
    this.at += Math.max(0, bytes);
  }

  tags(): void {
    for (let left = this.next(); left > 0; left--) {
      this.next();
      const bytes = this.next();
      this.at += bytes;
    }
  }
}

/** The same answer about topics, of a cluster that lists no broker. */
function withoutBrokers(frame: Buffer): Buffer {
  const skipper = new Skipper(frame, LENGTH_AND_CORRELATION_BYTES);
  skipper.tags();
  // The time to wait comes before the brokers, each with its id, host, port, rack and tags.
  skipper.at += INT32_BYTES;
  const listed = skipper.at;
  for (let brokers = skipper.next() - 1; brokers > 0; brokers--) {
    skipper.at += INT32_BYTES;
    skipper.string();
    skipper.at += INT32_BYTES;
    skipper.string();
    skipper.tags();
  }
  const empty = Buffer.of(1);
  const fenced = Buffer.concat([frame.subarray(0, listed), empty, frame.subarray(skipper.at)]);
  fenced.writeInt32BE(fenced.length - INT32_BYTES, 0);
  return fenced;
}

/**
 * A broker of the test's own, reached through this alone, that can be frozen as one is that stops
 * for longer than its session: when it thaws, what was asked meanwhile is answered at once, and by
 * a cluster that has fenced its only broker: with topics, and no broker. kafkajs asks for metadata
 * in an older version of the protocol, and is answered as ever.
 */
export class FencedKafka {
  /** `127.0.0.1:PORT`. */
  address = '';
  #isFrozen = false;
  /** What lets each answer go that came while it was frozen. */
  #held: (() => void)[] = [];
  #heldMetadata = 0;

  static async start(): Promise<FencedKafka> {
    const fenced = new FencedKafka();
    fenced.address = await startFramedKafka(() => fenced.#relay(), { heapMaxMib: 320 });
    return fenced;
  }

  /** How many answers without a broker a thaw would give now. */
  get heldMetadata(): number {
    return this.#heldMetadata;
  }

  freeze(): void {
    this.#isFrozen = true;
  }

  thaw(): void {
    this.#isFrozen = false;
    for (const release of this.#held) release();
    this.#held = [];
    this.#heldMetadata = 0;
  }

  #relay(): Relay {
    /** Questions for metadata that are under way. */
    const questions = new Set<number>();
    return {
      asked(request) {
        if (apiOf(request) === apiKey.metadata && versionOf(request) >= FLEXIBLE_FROM)
          questions.add(correlationOfRequest(request));
      },
      answered: (answer, give) => {
        const isMetadata = questions.delete(correlationOfAnswer(answer));
        if (!this.#isFrozen) return give(answer);
        if (isMetadata) this.#heldMetadata++;
        const held = isMetadata ? withoutBrokers(answer) : answer;
        this.#held.push(() => give(held));
      },
    };
  }
}

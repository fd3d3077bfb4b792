import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { cleanUp } from './clean-up.ts';
import { type KafkaBroker, startKafka } from './kafka.ts';

const METADATA = 3;
/** From this version on an answer has compact arrays and tagged fields (KIP-482). */
const FLEXIBLE_FROM = 9;

/** Cuts a stream into frames, each with its length before it. */
class Frames {
  #rest: Buffer = Buffer.alloc(0);

  *take(bytes: Buffer): Iterable<Buffer> {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= 4 && this.#rest.length >= 4 + this.#rest.readInt32BE(0)) {
      const end = 4 + this.#rest.readInt32BE(0);
      yield this.#rest.subarray(0, end);
      this.#rest = this.#rest.subarray(end);
    }
  }
}

/** Reads what comes before a place in an answer. */
class Skipper {
  at: number;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  varint(): number {
    for (let value = 0, shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.at++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  string(): void {
    this.at += Math.max(0, this.varint() - 1);
  }

  tags(): void {
    for (let left = this.varint(); left > 0; left--) {
      this.varint();
      this.at += this.varint();
    }
  }
}

/** The same answer about topics, of a cluster that lists no broker. */
function withoutBrokers(frame: Buffer): Buffer {
  const skipper = new Skipper(frame, 8);
  skipper.tags();
  const listed = skipper.at + 4;
  skipper.at = listed;
  for (let brokers = skipper.varint() - 1; brokers > 0; brokers--) {
    skipper.at += 4;
    skipper.string();
    skipper.at += 4;
    skipper.string();
    skipper.tags();
  }
  const empty = Buffer.of(1);
  const fenced = Buffer.concat([frame.subarray(0, listed), empty, frame.subarray(skipper.at)]);
  fenced.writeInt32BE(fenced.length - 4, 0);
  return fenced;
}

/**
 * A broker of the test's own, reached through this alone, that can be frozen as one is that stops
 * for longer than its session: when it thaws, what was asked meanwhile is answered at once, and by
 * a cluster that has fenced its only broker: with topics, and no broker. kafkajs asks for metadata
 * in an older version of the protocol, and is answered as ever.
 */
export class FencedKafka {
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  #broker: KafkaBroker | undefined;
  #isFrozen = false;
  /** What lets each answer go that came while it was frozen. */
  #held: (() => void)[] = [];
  #heldMetadata = 0;

  private constructor() {
    this.#server = createServer({ noDelay: true }, (near) => this.#take(near));
  }

  static async start(): Promise<FencedKafka> {
    const fenced = new FencedKafka();
    cleanUp(() => fenced.#close());
    await new Promise<void>((resolve) => fenced.#server.listen(0, '127.0.0.1', resolve));
    const config = { 'advertised.listeners': `PLAINTEXT://${fenced.address}` };
    fenced.#broker = await startKafka({ heapMaxMib: 320, config });
    return fenced;
  }

  /** How many answers without a broker a thaw would give now. */
  get heldMetadata(): number {
    return this.#heldMetadata;
  }

  /** `127.0.0.1:PORT`. */
  get address(): string {
    const address = this.#server.address();
    return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
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

  #take(near: Socket): void {
    const far = dial({ host: '127.0.0.1', port: this.#broker?.port ?? 0, noDelay: true });
    const [asked, answered] = [new Frames(), new Frames()];
    /** Questions for metadata that are under way, by their correlation ids. */
    const questions = new Set<number>();
    near.on('data', (bytes: Buffer) => {
      for (const frame of asked.take(bytes)) {
        const isFlexible = frame.readInt16BE(6) >= FLEXIBLE_FROM;
        if (frame.readInt16BE(4) === METADATA && isFlexible) questions.add(frame.readInt32BE(8));
        far.write(frame);
      }
    });
    far.on('data', (bytes: Buffer) => {
      for (const frame of answered.take(bytes)) {
        const isMetadata = questions.delete(frame.readInt32BE(4));
        if (this.#isFrozen) this.#hold(near, frame, isMetadata);
        else near.write(frame);
      }
    });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }

  #hold(near: Socket, frame: Buffer, isMetadata: boolean): void {
    const answer = isMetadata ? withoutBrokers(frame) : frame;
    if (isMetadata) this.#heldMetadata++;
    this.#held.push(() => near.write(answer));
  }

  #close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

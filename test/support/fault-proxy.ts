import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { cleanUp } from './clean-up.ts';
import { Seeded, seed } from './seeded.ts';
import type { Address } from './start-server.ts';

/** What a link does to the bytes of one direction. Everything is off by default. */
export interface LinkFaults {
  /** Each chunk arrives this much later, in ms. */
  readonly latencyMs?: number;
  /** Up to this much more, drawn for each chunk; order is kept. */
  readonly jitterMs?: number;
  /** No write is longer than this: frames arrive in pieces. */
  readonly sliceBytes?: number;
  readonly bytesPerSecond?: number;
}

/**
 * What the proxy does with connections:
 *
 * - `pass`: forwards.
 * - `blackhole`: connections stay, nothing passes in either direction; what was on its way passes
 *   when it ends, as TCP's repeated packets do.
 * - `half-open`: the far side is gone and the near side is not told: its connections stay, and its
 *   bytes go nowhere. New ones are taken just so. When it ends, they are reset as they speak.
 * - `refuse`: every connection is reset, new ones are refused.
 */
export type ProxyMode = 'pass' | 'blackhole' | 'half-open' | 'refuse';

const QUEUED_BYTES_MAX = 1 << 20;

/**
 * A TCP proxy on the loopback that a test puts between two processes, to be a bad network. Closed
 * after the test.
 */
export class FaultProxy {
  readonly host = '127.0.0.1';
  /** How many connections were taken so far. */
  accepted = 0;
  /** Bytes that were forwarded, to the target and back. */
  bytesUp = 0;
  bytesDown = 0;
  readonly random: Seeded;
  #server: Server | undefined;
  #port = 0;
  #target: Address | undefined;
  #mode: ProxyMode = 'pass';
  #up: LinkFaults = {};
  #down: LinkFaults = {};
  readonly #pairs = new Set<Pair>();

  private constructor(random: Seeded) {
    this.random = random;
  }

  /** Listens on a free port. Without a target, connections are reset until `setTarget`. */
  static async start(target?: Address, random = new Seeded(seed)): Promise<FaultProxy> {
    const proxy = new FaultProxy(random);
    proxy.#target = target;
    await proxy.#listen();
    cleanUp(() => proxy.close());
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** `127.0.0.1:PORT`. */
  get address(): string {
    return `${this.host}:${this.#port}`;
  }

  get mode(): ProxyMode {
    return this.#mode;
  }

  /** Connections that are open now on the near side. */
  get open(): number {
    return this.#pairs.size;
  }

  setTarget(target: Address): void {
    this.#target = target;
  }

  /** Faults of the bytes to the target and back, for all connections, from now on. */
  setFaults(up: LinkFaults, down: LinkFaults = up): void {
    this.#up = up;
    this.#down = down;
    for (const pair of this.#pairs) pair.setFaults(up, down);
  }

  async setMode(mode: ProxyMode): Promise<void> {
    this.#mode = mode;
    for (const pair of this.#pairs) pair.setMode(mode);
    if (mode === 'refuse') {
      this.resetAll();
      await this.#stopListening();
    } else if (this.#server === undefined) {
      await this.#listen();
    }
  }

  /** Resets (RST) every connection on both sides. */
  resetAll(): void {
    for (const pair of [...this.#pairs]) pair.reset();
  }

  async close(): Promise<void> {
    this.resetAll();
    await this.#stopListening();
  }

  #listen(): Promise<void> {
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => this.#take(near));
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, this.host, () => {
        const address = server.address();
        this.#port = typeof address === 'object' && address !== null ? address.port : 0;
        resolve();
      });
    });
  }

  #stopListening(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    return new Promise((resolve) => {
      if (server === undefined) resolve();
      else server.close(() => resolve());
    });
  }

  #take(near: Socket): void {
    this.accepted++;
    near.on('error', () => {});
    if (this.#target === undefined) {
      near.resetAndDestroy();
      return;
    }
    const pair = new Pair(this, near, this.#target);
    this.#pairs.add(pair);
    near.once('close', () => this.#pairs.delete(pair));
    pair.setFaults(this.#up, this.#down);
    pair.setMode(this.#mode);
  }
}

/** One connection through the proxy: near is who came, far is the target. */
class Pair {
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #up: Link;
  readonly #down: Link;
  #isOrphan = false;
  #mode: ProxyMode = 'pass';

  constructor(proxy: FaultProxy, near: Socket, { host, port }: Address) {
    this.#near = near;
    this.#far = dial({ host, port, noDelay: true, allowHalfOpen: true });
    this.#up = new Link(near, this.#far, proxy.random, (bytes) => (proxy.bytesUp += bytes));
    this.#down = new Link(this.#far, near, proxy.random, (bytes) => (proxy.bytesDown += bytes));
    this.#far.on('error', () => {});
    this.#far.on('close', (hadError) => {
      if (this.#isOrphan) return;
      if (hadError) near.resetAndDestroy();
      else this.#down.endAfterQueue();
    });
    near.on('close', () => this.#far.destroy());
    near.on('data', () => {
      // A packet for a connection that the far side does not know any more is answered by RST.
      if (this.#isOrphan && this.#mode === 'pass') near.resetAndDestroy();
    });
  }

  setFaults(up: LinkFaults, down: LinkFaults): void {
    this.#up.faults = up;
    this.#down.faults = down;
  }

  setMode(mode: ProxyMode): void {
    this.#mode = mode;
    if (mode === 'half-open' && !this.#isOrphan) {
      this.#isOrphan = true;
      this.#up.discard();
      this.#down.discard();
      this.#far.resetAndDestroy();
    }
    this.#up.hold(mode === 'blackhole');
    this.#down.hold(mode === 'blackhole');
  }

  reset(): void {
    this.#isOrphan = true;
    this.#far.resetAndDestroy();
    this.#near.resetAndDestroy();
  }
}

/** One direction of a connection. */
class Link {
  faults: LinkFaults = {};
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #random: Seeded;
  readonly #onBytes: (bytes: number) => void;
  readonly #queue: { bytes: Buffer; due: number }[] = [];
  #queuedBytes = 0;
  #lastDue = 0;
  #timer: NodeJS.Timeout | undefined;
  #isHeld = false;
  #isDiscarded = false;
  #isEnding = false;

  constructor(from: Socket, to: Socket, random: Seeded, onBytes: (bytes: number) => void) {
    this.#from = from;
    this.#to = to;
    this.#random = random;
    this.#onBytes = onBytes;
    from.on('data', (bytes: Buffer) => this.#take(bytes));
    from.on('end', () => this.endAfterQueue());
    to.on('drain', () => this.#pump());
    to.on('close', () => clearTimeout(this.#timer));
  }

  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    this.#regulate();
    this.#pump();
  }

  /** What waits and what comes goes nowhere. */
  discard(): void {
    this.#isDiscarded = true;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#regulate();
  }

  endAfterQueue(): void {
    this.#isEnding = true;
    this.#pump();
  }

  #take(bytes: Buffer): void {
    if (this.#isDiscarded) return;
    const { latencyMs = 0, jitterMs = 0, sliceBytes = bytes.length, bytesPerSecond } = this.faults;
    for (let at = 0; at < bytes.length; at += sliceBytes) {
      const slice = bytes.subarray(at, at + sliceBytes);
      const travelMs = latencyMs + this.#random.float() * jitterMs;
      const paceMs = bytesPerSecond === undefined ? 0 : (1000 * slice.length) / bytesPerSecond;
      const due = Math.max(performance.now() + travelMs, this.#lastDue) + paceMs;
      this.#lastDue = due;
      this.#queue.push({ bytes: slice, due });
      this.#queuedBytes += slice.length;
    }
    this.#regulate();
    this.#pump();
  }

  #regulate(): void {
    const isFull = this.#queuedBytes >= QUEUED_BYTES_MAX;
    if (!this.#isDiscarded && (this.#isHeld || isFull)) this.#from.pause();
    else this.#from.resume();
  }

  #pump(): void {
    clearTimeout(this.#timer);
    if (this.#isHeld || this.#isDiscarded || this.#to.destroyed) return;
    for (;;) {
      const [next] = this.#queue;
      if (next === undefined) break;
      const waitMs = next.due - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(waitMs));
        return;
      }
      this.#queue.shift();
      this.#queuedBytes -= next.bytes.length;
      this.#onBytes(next.bytes.length);
      if (!this.#to.write(next.bytes)) break;
    }
    this.#regulate();
    if (this.#queue.length === 0 && this.#isEnding) this.#to.end();
  }
}

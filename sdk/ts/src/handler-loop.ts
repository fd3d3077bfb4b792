import type { ConsumeHandler, ConsumeMode } from './consume-types.ts';
import type { Lease } from './lease.ts';

export interface HandlerLoopHost {
  /** The next message to handle; it is the loop's from then on. */
  take(): Lease | undefined;
  /** A handler has ended. */
  handled(): void;
}

/** Runs handlers, so many at once; in `partition-ordered` one at a time per partition. */
export class HandlerLoop {
  /** Handlers that run. */
  running = 0;
  private readonly host: HandlerLoopHost;
  private readonly handler: ConsumeHandler;
  private readonly concurrency: number;
  /** Messages behind the one that is handled, by partition; undefined when any order will do. */
  private lanes: Map<string, Lease[]> | undefined;
  private isStopped = false;

  constructor(host: HandlerLoopHost, handler: ConsumeHandler, concurrency: number) {
    this.host = host;
    this.handler = handler;
    this.concurrency = concurrency;
  }

  set mode(mode: ConsumeMode) {
    this.lanes = mode === 'partition-ordered' ? (this.lanes ?? new Map()) : undefined;
  }

  /** There may be something to handle. */
  pump(): void {
    while (!this.isStopped && this.running < this.concurrency) {
      const lease = this.host.take();
      if (lease === undefined) return;
      this.admit(lease);
    }
  }

  /** Begins no handler any more. */
  stop(): void {
    this.isStopped = true;
    this.lanes?.clear();
  }

  private admit(lease: Lease): void {
    if (this.lanes === undefined) {
      this.handle(lease, undefined);
      return;
    }
    const lane = laneOf(lease);
    const waiting = this.lanes.get(lane);
    if (waiting !== undefined) {
      waiting.push(lease);
      return;
    }
    this.lanes.set(lane, []);
    this.handle(lease, lane);
  }

  private handle(lease: Lease, lane: string | undefined): void {
    this.running++;
    let result: Promise<void> | void;
    try {
      result = this.handler(lease);
    } catch (error) {
      this.failed(lease, error);
      this.ended(lease, lane);
      return;
    }
    if (result === undefined) {
      this.succeeded(lease);
      this.ended(lease, lane);
      return;
    }
    void result
      .then(
        () => this.succeeded(lease),
        (error: unknown) => this.failed(lease, error),
      )
      .then(() => {
        this.ended(lease, lane);
        this.pump();
      });
  }

  private succeeded(lease: Lease): void {
    if (lease.state === 'held') void lease.ack();
  }

  private failed(lease: Lease, error: unknown): void {
    if (lease.state !== 'held') return;
    void lease.nack({ reason: error instanceof Error ? error.message : String(error) });
  }

  private ended(lease: Lease, lane: string | undefined): void {
    if (lane !== undefined && lease.isGivenBack && !this.isStopped) {
      void this.restart(lease, lane);
      return;
    }
    this.running--;
    if (lane !== undefined && !this.isStopped) this.nextOf(lane);
    this.host.handled();
  }

  /** What came behind a message that was given back is lost when the node has answered. */
  private async restart(lease: Lease, lane: string): Promise<void> {
    await lease.settling?.catch(() => {});
    this.running--;
    if (!this.isStopped) this.nextOf(lane);
    this.host.handled();
    this.pump();
  }

  private nextOf(lane: string): void {
    const waiting = this.lanes?.get(lane);
    let next = waiting?.shift();
    while (next !== undefined && next.state !== 'held') next = waiting?.shift();
    if (next !== undefined) this.handle(next, lane);
    else this.lanes?.delete(lane);
  }
}

function laneOf(lease: Lease): string {
  return `${lease.run.cluster} ${lease.run.topic} ${lease.run.partition}`;
}

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
      this.run(lease, undefined);
      return;
    }
    const lane = laneOf(lease);
    const waiting = this.lanes.get(lane);
    if (waiting !== undefined) {
      waiting.push(lease);
      return;
    }
    this.lanes.set(lane, []);
    this.run(lease, lane);
  }

  /** Handles a message, and those behind it in its lane until a handler takes its time. */
  private run(first: Lease | undefined, lane: string | undefined): void {
    let next = first;
    while (next !== undefined) {
      const lease = next;
      this.running++;
      const handling = this.handle(lease);
      if (handling !== undefined) {
        void handling.then(() => {
          this.run(this.ended(lease, lane), lane);
          this.pump();
        });
        return;
      }
      next = this.ended(lease, lane);
    }
    this.host.handled();
  }

  /** Undefined: the handler has ended already. */
  private handle(lease: Lease): Promise<void> | undefined {
    try {
      const result = this.handler(lease);
      if (result !== undefined) {
        return result.then(
          () => this.succeeded(lease),
          (error: unknown) => this.failed(lease, error),
        );
      }
      this.succeeded(lease);
    } catch (error) {
      this.failed(lease, error);
    }
    return undefined;
  }

  private succeeded(lease: Lease): void {
    if (lease.state === 'held') void lease.ack();
  }

  private failed(lease: Lease, error: unknown): void {
    if (lease.state !== 'held') return;
    void lease.nack({ reason: error instanceof Error ? error.message : String(error) });
  }

  /** What is to be handled next in its lane, if something is. */
  private ended(lease: Lease, lane: string | undefined): Lease | undefined {
    if (lane !== undefined && lease.isGivenBack && !this.isStopped) {
      void this.restart(lease, lane);
      return undefined;
    }
    this.running--;
    return this.nextOf(lane);
  }

  /** What came behind a message that was given back is lost when the node has answered. */
  private async restart(lease: Lease, lane: string): Promise<void> {
    await lease.settling?.catch(() => {});
    this.running--;
    this.run(this.nextOf(lane), lane);
    this.pump();
  }

  private nextOf(lane: string | undefined): Lease | undefined {
    if (lane === undefined || this.isStopped) return undefined;
    const waiting = this.lanes?.get(lane);
    let next = waiting?.shift();
    while (next !== undefined && next.state !== 'held') next = waiting?.shift();
    if (next === undefined) this.lanes?.delete(lane);
    return next;
  }
}

function laneOf(lease: Lease): string {
  return `${lease.run.cluster} ${lease.run.topic} ${lease.run.partition}`;
}

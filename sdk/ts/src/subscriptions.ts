import { type Assigned, decodeAssigned } from '../../../protocol/src/assigned.ts';
import { DeliveredRuns } from '../../../protocol/src/delivered-runs.ts';
import type { Frame } from '../../../protocol/src/frame.ts';
import { Opcode } from '../../../protocol/src/generated.ts';
import type { MqpError } from './errors.ts';
import type { Exchange } from './exchange.ts';

/** One subscription, as its client sees it. */
export interface Subscriber {
  readonly isBusy: boolean;
  connected(exchange: Exchange): void;
  disconnected(): void;
  /** *Borrowed* during the call, save the bytes of the frame. */
  delivered(runs: DeliveredRuns): void;
  assigned(assigned: Assigned): void;
  /** The client has ended. */
  fail(error: MqpError): void;
}

/** The subscriptions of a client, and their ids on the present connection. */
export class Subscriptions {
  /** The present connection, while it may be used for something new. */
  exchange: Exchange | undefined;
  private readonly all = new Set<Subscriber>();
  private readonly byId = new Map<number, Subscriber>();
  private readonly runs = new DeliveredRuns();

  add(subscription: Subscriber): void {
    this.all.add(subscription);
  }

  delete(subscription: Subscriber): void {
    this.all.delete(subscription);
  }

  learn(id: number, subscription: Subscriber): void {
    this.byId.set(id, subscription);
  }

  forget(id: number): void {
    this.byId.delete(id);
  }

  /** Something is under way that should be told to this node before it is left. */
  get isBusy(): boolean {
    for (const subscription of this.all) if (subscription.isBusy) return true;
    return false;
  }

  /** The client has ended: nothing is tried again. */
  end(error: MqpError): void {
    for (const subscription of [...this.all]) subscription.fail(error);
  }

  attach(exchange: Exchange): void {
    this.exchange = exchange;
    for (const subscription of this.all) subscription.connected(exchange);
  }

  detach(): void {
    this.exchange = undefined;
    this.byId.clear();
    for (const subscription of this.all) subscription.disconnected();
  }

  /** DELIVER or ASSIGNED, *borrowed*. What comes for a subscription that was ended is dropped. */
  frame(frame: Frame): void {
    if (frame.opcode === Opcode.DELIVER) {
      this.runs.reset(frame);
      this.byId.get(this.runs.subscription)?.delivered(this.runs);
      return;
    }
    const assigned = decodeAssigned(frame);
    this.byId.get(assigned.subscription)?.assigned(assigned);
  }
}

import {
  CANCEL_DELAYED,
  DELAY_STATS,
  type Delayed,
  type DelayedPage,
  type DelayedRef,
  type DelayOutcome,
  type DelayStats,
  GET_DELAYED,
  LIST_DELAYED,
  type ListDelayed,
  MOVE_DELAYED,
  type MoveDelayed,
} from '../../../protocol/src/delayed.ts';
import type { Control } from './control.ts';
import { SeriesMessages } from './series-messages.ts';

/** Messages that wait for their due time: looked at, moved and cancelled. */
export class DelayedMessages {
  /** Messages that come again and again. */
  readonly series: SeriesMessages;
  private readonly control: Control;

  constructor(control: Control) {
    this.control = control;
    this.series = new SeriesMessages(control);
  }

  /** One of them, its value included. @throws MqpError NOT_FOUND, NOT_AUTHORIZED, … */
  async get(ref: DelayedRef): Promise<Delayed> {
    return (await this.control.ask(GET_DELAYED, ref, true)).delay;
  }

  /** A page of them, by due time, without values; go on with its cursor. */
  list(query: ListDelayed = {}): Promise<DelayedPage> {
    return this.control.ask(LIST_DELAYED, query, true);
  }

  /** @throws MqpError NOT_SUPPORTED for a message on a fixed level, NOT_AUTHORIZED, … */
  async cancel(ref: DelayedRef): Promise<DelayOutcome> {
    return (await this.control.ask(CANCEL_DELAYED, ref, true)).outcome;
  }

  /** @throws as cancel; MqpError BEYOND_HORIZON */
  move(move: MoveDelayed): Promise<{ readonly outcome: DelayOutcome; readonly dueMs?: number }> {
    return this.control.ask(MOVE_DELAYED, move, true);
  }

  stats(topic?: string): Promise<DelayStats> {
    return this.control.ask(DELAY_STATS, topic === undefined ? {} : { topic }, true);
  }
}

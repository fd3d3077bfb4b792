import type { DelayOutcome } from '../../../protocol/src/delayed.ts';
import {
  CANCEL_SERIES,
  LIST_SERIES,
  SCHEDULE_SERIES,
  type ScheduleSeries,
  type SeriesPage,
} from '../../../protocol/src/series.ts';
import type { Control } from './control.ts';

/** Messages that come again and again; only where the node has the feature `series`. */
export class SeriesMessages {
  private readonly control: Control;

  constructor(control: Control) {
    this.control = control;
  }

  /**
   * Begins a series; one of the same name is replaced. It is in the delay log when this resolves.
   * Without a name the node makes one; then a lost answer is not asked again, since that would
   * begin another.
   * @throws MqpError INVALID_ARGUMENT in words, MESSAGE_TOO_LARGE, NOT_AUTHORIZED, NOT_OWNER, …
   */
  schedule(series: ScheduleSeries): Promise<{ readonly series: string; readonly nextMs: number }> {
    return this.control.ask(SCHEDULE_SERIES, series, series.series !== undefined);
  }

  /** Ends a series, or with `number` (from 1) cancels one firing. @throws MqpError as schedule */
  async cancel(series: string, number?: number): Promise<DelayOutcome> {
    const request = number === undefined ? { series } : { series, number };
    return (await this.control.ask(CANCEL_SERIES, request, true)).outcome;
  }

  /** A page of them; go on with its cursor. */
  list(query: { readonly limit?: number; readonly cursor?: string } = {}): Promise<SeriesPage> {
    return this.control.ask(LIST_SERIES, query, true);
  }
}

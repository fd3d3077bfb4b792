/** When a {@link CircuitState} changes. */
export interface CircuitTimes {
  /** Out of order for so long opens it, in ms. */
  readonly openAfterMs: number;
  /** In order for so long closes it again, in ms. */
  readonly closeAfterMs: number;
  /** One that opens again soon after it was closed stays open longer each time, up to here. */
  readonly closeAfterMsMax: number;
}

/** What was seen of whatever the circuit stands for. */
export type CircuitEvent =
  /** It works. */
  | { readonly kind: 'good' }
  /** It has not worked for so long, in ms. */
  | { readonly kind: 'bad'; readonly forMs: number };

/** A circuit; times are those of a monotonic clock. */
export interface CircuitState {
  /** Nothing is to be sent: it is out of order, or was and is not trusted yet. */
  readonly isOpen: boolean;
  /** When it was opened or closed last. */
  readonly sinceMs: number;
  /** While it is open: since when all that was seen is good. */
  readonly goodSinceMs: number | undefined;
  /** How long it must be good to be closed. */
  readonly closeAfterMs: number;
}

/** A circuit that was never opened; `isOpen` for one that must prove itself first. */
export function newCircuit(nowMs: number, times: CircuitTimes, isOpen = false): CircuitState {
  return { isOpen, sinceMs: nowMs, goodSinceMs: undefined, closeAfterMs: times.closeAfterMs };
}

/**
 * The next state. A closed circuit opens when it was bad for long enough; an open one closes when
 * all that was seen of it for {@link CircuitState.closeAfterMs} was good. When it opens within
 * that time after it was closed, the time doubles: what flaps is left alone ever longer.
 */
export function stepCircuit(
  state: CircuitState,
  event: CircuitEvent,
  nowMs: number,
  times: CircuitTimes,
): CircuitState {
  if (!state.isOpen) {
    if (event.kind === 'good' || event.forMs < times.openAfterMs) return state;
    const isSoon = nowMs - state.sinceMs < state.closeAfterMs && state.goodSinceMs !== undefined;
    const doubled = Math.min(2 * state.closeAfterMs, times.closeAfterMsMax);
    const closeAfterMs = isSoon ? Math.max(doubled, times.closeAfterMs) : times.closeAfterMs;
    return { isOpen: true, sinceMs: nowMs, goodSinceMs: undefined, closeAfterMs };
  }
  if (event.kind === 'bad') {
    return state.goodSinceMs === undefined ? state : { ...state, goodSinceMs: undefined };
  }
  const goodSinceMs = state.goodSinceMs ?? nowMs;
  if (nowMs - goodSinceMs < state.closeAfterMs) return { ...state, goodSinceMs };
  return { ...state, isOpen: false, sinceMs: nowMs, goodSinceMs };
}

/** Whether an open circuit has been good for so long, though it is not trusted yet. */
export function isGoodFor(state: CircuitState, ms: number, nowMs: number): boolean {
  if (!state.isOpen) return true;
  return state.goodSinceMs !== undefined && nowMs - state.goodSinceMs >= ms;
}

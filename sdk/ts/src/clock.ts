/** A timer that has not fired can be cancelled; cancelling twice is harmless. */
export interface Timer {
  cancel(): void;
  /** The process need not live for it. */
  unref?(): void;
}

/** Time, so that tests can move it. */
export interface Clock {
  /** Wall clock in ms. */
  now(): number;
  /** Never steps back; ms. */
  monotonic(): number;
  setTimer(fn: () => void, delayMs: number): Timer;
}

/** Chance, so that tests can choose it. */
export interface Random {
  /** In [0, 1). */
  float(): number;
}

/** Node fires a timer with a longer delay at once; 24 days are as good as none. */
const DELAY_MAX_MS = 0x7fff_ffff;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(fn, delayMs) {
    const handle = setTimeout(fn, Math.min(delayMs, DELAY_MAX_MS));
    return { cancel: () => clearTimeout(handle), unref: () => handle.unref() };
  },
};

export const systemRandom: Random = { float: () => Math.random() };

/** A timer that was set and can be taken back. */
export interface Timer {
  cancel(): void;
}

/** Where time comes from. Handed in at construction, so that a test never sleeps. */
export interface Clock {
  /** Wall clock, in ms since 1970. It may step; nothing but timestamps depends on it. */
  now(): number;
  /** A clock that only goes forward, in ms from an arbitrary origin. */
  monotonic(): number;
  /** Calls `fn` once, `delayMs` from now. The timer does not keep the process alive. */
  setTimer(fn: () => void, delayMs: number): Timer;
}

/** The machine's own clocks. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(fn, delayMs) {
    const handle = setTimeout(fn, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Resolves after `delayMs` of `clock`; keeps the process alive only while others do. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(resolve, delayMs);
  });
}

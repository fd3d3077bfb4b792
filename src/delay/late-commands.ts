import type { Clock } from '../base/clock.ts';
import { coded } from '../base/errors.ts';

/** Longest that a command waits for its cluster, in ms; the write itself may take 30 s. */
const ANSWER_MS = 5_000;
/** Commands that were answered before their end, at most. */
const LATE_MAX = 10_000;
/** So long their end is remembered, in ms. */
const LATE_MS = 600_000;

interface Late<Outcome> {
  readonly done: Promise<Outcome>;
  /** Undefined while it is on its way. */
  end: { readonly outcome: Outcome; readonly atMs: number } | undefined;
}

/**
 * Answers commands in time also where the cluster says nothing. One that was answered so goes on,
 * its message held; who gives it again hears what becomes of it, or what became of it.
 */
export class LateCommands<Outcome> {
  readonly #clock: Clock;
  readonly #isOver: (outcome: Outcome) => boolean;
  readonly #late = new Map<string, Late<Outcome>>();

  /** @param isOver the command found nothing to do, as after a try that had done it */
  constructor(clock: Clock, isOver: (outcome: Outcome) => boolean) {
    this.#clock = clock;
    this.#isOver = isOver;
  }

  /**
   * @param name of the command, with all it is to do
   * @throws BACKEND_UNAVAILABLE when it has no end in five seconds; as `command`
   */
  async run(name: string, command: () => Promise<Outcome>): Promise<Outcome> {
    const before = this.#late.get(name);
    if (before !== undefined && before.end === undefined) return this.#inTime(name, before);
    this.#late.delete(name);
    const outcome = await this.#inTime(name, { done: command(), end: undefined });
    // Another message may have come under this id meanwhile: else it is as the try before left it.
    const sinceMs = this.#clock.monotonic() - (before?.end?.atMs ?? Number.NEGATIVE_INFINITY);
    return this.#isOver(outcome) && sinceMs < LATE_MS ? (before?.end?.outcome ?? outcome) : outcome;
  }

  #inTime(name: string, command: Late<Outcome>): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(() => {
        this.#keep(name, command);
        const words = 'the cluster has not confirmed it in time: it may be done yet';
        reject(coded('BACKEND_UNAVAILABLE', `${words}; give the command again`));
      }, ANSWER_MS);
      command.done.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  #keep(name: string, command: Late<Outcome>): void {
    if (this.#late.get(name) === command) return;
    if (this.#late.size >= LATE_MAX) this.#late.delete(this.#late.keys().next().value as string);
    this.#late.set(name, command);
    command.done.then(
      (outcome) => {
        command.end = { outcome, atMs: this.#clock.monotonic() };
      },
      () => {
        // It came to nothing: the next try is the first again.
        if (this.#late.get(name) === command) this.#late.delete(name);
      },
    );
  }
}

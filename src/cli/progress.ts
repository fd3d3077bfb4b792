import { type Clock, systemClock, type Timer } from '../base/clock.ts';

const stepMs = 200;

/** Where the line is shown: stderr, or what stands for it in a test. */
interface Screen {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/**
 * A line on stderr that rewrites itself while a command works; nothing when stderr is not a
 * terminal.
 */
export class Progress {
  readonly #clock: Clock;
  readonly #text: () => string;
  readonly #screen: Screen;
  readonly #isShown: boolean;
  #timer: Timer | undefined;

  constructor(text: () => string, clock: Clock = systemClock, screen: Screen = process.stderr) {
    this.#clock = clock;
    this.#text = text;
    this.#screen = screen;
    this.#isShown = screen.isTTY === true;
    if (this.#isShown) this.#arm();
  }

  /** Takes the line away. */
  end(): void {
    this.#timer?.cancel();
    if (this.#isShown) this.#screen.write('\r\x1b[K');
  }

  #arm(): void {
    this.#timer = this.#clock.setTimer(() => {
      this.#screen.write(`\r\x1b[K${this.#text()}`);
      this.#arm();
    }, stepMs);
  }
}

/** A count with separators, for people. */
export function grouped(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

import type { ChildProcess } from 'node:child_process';

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Settles once, when the process has ended and its output was read. */
export function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: -1, signal: null }));
  });
}

/** Keeps the last part of what a process writes, so that a chatty one costs bounded memory. */
export class Tail {
  #text = '';
  readonly #charactersMax: number;
  readonly #listeners = new Set<() => void>();

  constructor(charactersMax = 256 * 1024) {
    this.#charactersMax = charactersMax;
  }

  add(chunk: Buffer | string): void {
    this.#text += chunk.toString();
    if (this.#text.length > this.#charactersMax * 2)
      this.#text = this.#text.slice(-this.#charactersMax);
    for (const listener of this.#listeners) listener();
  }

  get text(): string {
    return this.#text;
  }

  /** The last lines, for a failure message. */
  lines(count: number): string {
    return this.#text.trimEnd().split('\n').slice(-count).join('\n');
  }

  /** Resolves with the first match, in what was written already or is written later. */
  match(pattern: RegExp): Promise<RegExpMatchArray> {
    return new Promise((resolve) => {
      const look = (): void => {
        const found = this.#text.match(pattern);
        if (!found) return;
        this.#listeners.delete(look);
        resolve(found);
      };
      this.#listeners.add(look);
      look();
    });
  }
}

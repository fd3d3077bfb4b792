// Which test file starts next. Pure: the time and how idle the machine is come in with each question.
//
// A file that waits (for an outage, a fail-over) leaves its core to others, one that computes needs
// it. Which is which differs by machine, so nobody lists it: one file a core runs always, and one
// more starts whenever the cores have been idle since the last such start.

/** Cores, all together, that must have been idle for one more file. */
const idleCoresWanted = 0.5;
/** What the machine did for less than this, in ms, says nothing: a file begins with a burst. */
const settleMs = 2_000;

/**
 * @template {{seconds: number, alone: boolean}} File `seconds` is what it is thought to take, `alone`
 * that no other may run beside it
 */
export class Schedule {
  #waiting = [];
  #running = new Set();
  #cores;
  #atOnceMax;
  #idle = new IdleSpan();

  /** @param {File[]} files @param {{cores: number, atOnceMax: number}} room */
  constructor(files, { cores, atOnceMax }) {
    this.#cores = cores;
    this.#atOnceMax = atOnceMax;
    this.add(files);
  }

  /** Files that could not start before. @param {File[]} files */
  add(files) {
    // The longest first, so that none is left over at the end while a core has nothing to do; those
    // that run alone last.
    this.#waiting.push(...files);
    this.#waiting.sort((a, b) => a.alone - b.alone || b.seconds - a.seconds);
  }

  /**
   * The file to start now; undefined: ask again a little later, and when one has ended.
   * @param {{nowMs: number, idleMs: number}} now `idleMs`: of all cores together, since any moment
   * @returns {File | undefined}
   */
  next({ nowMs, idleMs }) {
    this.#idle.add(nowMs, idleMs);
    const [file] = this.#waiting;
    if (file === undefined || this.#running.size >= this.#atOnceMax) return undefined;
    const isBesideAnother = this.#running.size > 0;
    if (isBesideAnother && (file.alone || [...this.#running].some(({ alone }) => alone)))
      return undefined;
    if (this.#running.size >= this.#cores) {
      if (this.#idle.cores < idleCoresWanted) return undefined;
      this.#idle.clear();
    }
    this.#waiting.shift();
    this.#running.add(file);
    return file;
  }

  /** @param {File} file */
  ended(file) {
    this.#running.delete(file);
  }

  get isOver() {
    return this.#waiting.length + this.#running.size === 0;
  }
}

/** How many cores were idle of late, by the sum of their idle times. */
class IdleSpan {
  #looks = [];

  add(atMs, idleMs) {
    this.#looks.push({ atMs, idleMs });
    // The oldest look that still spans enough stays.
    while (this.#looks.length > 2 && atMs - this.#looks[1].atMs >= settleMs) this.#looks.shift();
  }

  clear() {
    this.#looks.length = 0;
  }

  get cores() {
    const [first, last] = [this.#looks[0], this.#looks.at(-1)];
    if (first === undefined || last.atMs - first.atMs < settleMs) return 0;
    return (last.idleMs - first.idleMs) / (last.atMs - first.atMs);
  }
}

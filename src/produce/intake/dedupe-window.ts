import { limits } from '../../base/limits.ts';

/** What a window knows of a sequence. */
export type Known = 'new' | 'known' | 'gap' | 'too-old';

const WORDS = limits.windowSequences / 32;

/**
 * Which sequences of one (producer, epoch) were accepted: the highest, the lowest the window can
 * speak of, and a bitmap of the sequences behind the highest, which exists only while there are
 * gaps. A sequence outside is too old to be judged, so it is refused rather than guessed.
 */
export class DedupeWindow {
  /** Highest sequence accepted or passed over; 0 before the first. */
  highest = 0;
  /** No sequence below this one can be judged. */
  lowest = 0;
  /** Bit = sequence modulo the window: set where a sequence in the window is a gap. */
  private gaps: Uint32Array | undefined;
  private gapCount = 0;

  /** Memory of the bitmap, in bytes. */
  get bitmapBytes(): number {
    return this.gaps === undefined ? 0 : WORDS * 4;
  }

  /** Memory of a bitmap, in bytes. */
  static readonly bitmapBytesMax = WORDS * 4;

  /** Gives the bitmap back: everything up to the highest is too old to be judged from now on. */
  forgetGaps(): void {
    if (this.gaps === undefined) return;
    this.gaps = undefined;
    this.gapCount = 0;
    this.lowest = this.highest + 1;
  }

  /** Judges one sequence: `new` above the highest, `gap` where it was passed over. */
  look(sequence: number): Known {
    if (sequence > this.highest) return 'new';
    if (sequence < this.lowest || sequence <= this.highest - limits.windowSequences) {
      return 'too-old';
    }
    return this.isGap(sequence) ? 'gap' : 'known';
  }

  /**
   * Before the first sequence of an unordered session: those below it in the window were not seen
   * either, so they are gaps and may still come.
   */
  openBelow(first: number): void {
    if (this.highest > 0 || first <= 1) return;
    this.highest = first - 1;
    this.lowest = Math.max(1, first - limits.windowSequences + 1);
    this.markGaps(this.lowest, this.highest);
  }

  /** Takes `count` sequences from `first`; those between the highest and `first` become gaps. */
  accept(first: number, count: number): void {
    if (this.highest === 0) {
      this.lowest = first;
      this.highest = first - 1;
    }
    if (first > this.highest) {
      if (first > this.highest + 1) this.markGaps(this.highest + 1, first - 1);
      this.reuse(first, first + count - 1);
      this.highest = first + count - 1;
    } else {
      this.fill(first, Math.min(this.highest, first + count - 1));
      if (first + count - 1 > this.highest) {
        this.reuse(this.highest + 1, first + count - 1);
        this.highest = first + count - 1;
      }
    }
    if (this.gapCount === 0) this.gaps = undefined;
  }

  /** Passes over sequences that were refused for good: they stay gaps. */
  pass(first: number, count: number): void {
    if (this.highest === 0) {
      this.lowest = first;
      this.highest = first - 1;
    }
    const last = first + count - 1;
    if (last <= this.highest) return;
    this.markGaps(this.highest + 1, last);
    this.highest = last;
  }

  /** `lowest:f64 | highest:f64 | [bitmap]`, for a checkpoint. */
  encode(): Buffer {
    const out = Buffer.alloc(16 + this.bitmapBytes);
    out.writeDoubleLE(this.lowest, 0);
    out.writeDoubleLE(this.highest, 8);
    if (this.gaps !== undefined) {
      for (let i = 0; i < WORDS; i++) out.writeUInt32LE(this.gaps[i] ?? 0, 16 + i * 4);
    }
    return out;
  }

  /** The inverse of {@link encode}. */
  static decode(bytes: Buffer): DedupeWindow {
    const window = new DedupeWindow();
    window.lowest = bytes.readDoubleLE(0);
    window.highest = bytes.readDoubleLE(8);
    if (bytes.length > 16) {
      const gaps = new Uint32Array(WORDS);
      for (let i = 0; i < WORDS; i++) {
        const word = bytes.readUInt32LE(16 + i * 4);
        gaps[i] = word;
        window.gapCount += popcount(word);
      }
      window.gaps = window.gapCount > 0 ? gaps : undefined;
    }
    return window;
  }

  private isGap(sequence: number): boolean {
    if (this.gaps === undefined) return false;
    const bit = sequence % limits.windowSequences;
    return (((this.gaps[bit >>> 5] ?? 0) >>> (bit & 31)) & 1) === 1;
  }

  /** New gaps, and what they push out of the window is forgotten. */
  private markGaps(from: number, to: number): void {
    this.gaps ??= new Uint32Array(WORDS);
    const start = Math.max(from, to - limits.windowSequences + 1);
    this.change(start, to, true);
  }

  /** The slots of these sequences are about to be reused: clears what an older one left there. */
  private reuse(from: number, to: number): void {
    this.change(Math.max(from, to - limits.windowSequences + 1), to, false);
  }

  private fill(from: number, to: number): void {
    this.change(from, to, false);
  }

  /** Sets or clears the slots of at most a window of sequences, a word of them at a time. */
  private change(from: number, to: number, isGap: boolean): void {
    const { gaps } = this;
    if (gaps === undefined) return;
    for (let s = from; s <= to && (isGap || this.gapCount > 0); ) {
      const bit = s % limits.windowSequences;
      const count = Math.min(32 - (bit & 31), to - s + 1);
      const mask = ((0xffff_ffff >>> (32 - count)) << (bit & 31)) >>> 0;
      const before = gaps[bit >>> 5] ?? 0;
      const after = (isGap ? before | mask : before & ~mask) >>> 0;
      if (after !== before) {
        gaps[bit >>> 5] = after;
        this.gapCount += popcount(after) - popcount(before);
      }
      s += count;
    }
  }
}

/** Bits that are set, summed up in pairs, fours and eights of them at once. */
function popcount(word: number): number {
  const pairs = word - ((word >>> 1) & 0x5555_5555);
  const fours = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

import type { Lease } from './lease.ts';

/** How many places may be empty at the front before the rest moves up. */
const EMPTY_MAX = 1024;

/** First in, first out, without moving the rest for each. */
export class LeaseQueue {
  private items: Lease[] = [];
  private head = 0;

  push(lease: Lease): void {
    this.items.push(lease);
  }

  shift(): Lease | undefined {
    const lease = this.items[this.head];
    if (lease === undefined) return undefined;
    this.head++;
    if (this.head === this.items.length) this.drain();
    else if (this.head > EMPTY_MAX) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return lease;
  }

  /** Empties it. */
  drain(): Lease[] {
    const left = this.items.slice(this.head);
    this.items = [];
    this.head = 0;
    return left;
  }
}

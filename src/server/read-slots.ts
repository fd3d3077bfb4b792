/**
 * How many TAILs of one connection may hold records at once. Each answer is up to
 * `limits.tailBytesMax`; a client that asks for hundreds and reads none of them must not make the
 * node hold them all. Long polls that have nothing to give hold no slot.
 */
const SLOTS = 4;

/** The turns of one connection's reads. */
export class ReadSlots {
  private readonly mayRead: () => boolean;
  private taken = 0;
  private closed = false;
  private readonly queue: (() => void)[] = [];

  /** `mayRead` says whether the client has read enough of what it got; see {@link wake}. */
  constructor(mayRead: () => boolean) {
    this.mayRead = mayRead;
  }

  /** Resolves when a read may begin; {@link leave} must follow. False: the connection has gone. */
  async enter(): Promise<boolean> {
    while (!this.closed && (this.taken >= SLOTS || !this.mayRead())) {
      await new Promise<void>((resolve) => this.queue.push(resolve));
    }
    if (this.closed) return false;
    this.taken++;
    return true;
  }

  /** The answer was written, or there is none. */
  leave(): void {
    this.taken--;
    this.wake();
  }

  /** The client has read: looks again at who waits. */
  wake(): void {
    const free = Math.min(SLOTS - this.taken, this.queue.length);
    for (let i = 0; i < free && this.mayRead(); i++) this.queue.shift()?.();
  }

  /** The connection has gone: nobody waits any longer. */
  close(): void {
    this.closed = true;
    for (const resolve of this.queue.splice(0)) resolve();
  }
}

interface Waiter {
  readonly partition: number;
  readonly offset: number;
  resolve(): void;
}

/** Who waits until a partition of the log is applied up to before an offset. */
export class AppliedWaiters {
  #waiters: Waiter[] = [];

  wait(partition: number, offset: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push({ partition, offset, resolve });
    });
  }

  /** Wakes those for whom `waits` is false. */
  wake(waits: (partition: number, offset: number) => boolean): void {
    if (this.#waiters.length === 0) return;
    this.#waiters = this.#waiters.filter(({ partition, offset, resolve }) => {
      if (waits(partition, offset)) return true;
      resolve();
      return false;
    });
  }
}

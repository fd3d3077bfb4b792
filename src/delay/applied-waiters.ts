interface Waiter {
  readonly offset: number;
  resolve(): void;
}

/** Who waits until a partition of the log is applied up to before an offset. */
export class AppliedWaiters {
  readonly #byPartition = new Map<number, Waiter[]>();

  wait(partition: number, offset: number): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.#byPartition.get(partition);
      if (waiters === undefined) this.#byPartition.set(partition, [{ offset, resolve }]);
      else waiters.push({ offset, resolve });
    });
  }

  /** A partition is applied up to before an offset: those who waited for less are woken. */
  applied(partition: number, upTo: number): void {
    const waiters = this.#byPartition.get(partition);
    if (waiters === undefined) return;
    const left = waiters.filter((waiter) => waiter.offset > upTo);
    if (left.length === 0) this.#byPartition.delete(partition);
    else this.#byPartition.set(partition, left);
    for (const { offset, resolve } of waiters) if (offset <= upTo) resolve();
  }

  /** All are woken; what they waited for does not come any more. */
  gaveUp(partition: number): void {
    this.applied(partition, Number.POSITIVE_INFINITY);
  }
}

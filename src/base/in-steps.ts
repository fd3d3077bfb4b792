/**
 * Does a task for each item, at most `atOnce` at a time, and answers what they gave in order.
 * Rejects with the first failure; what is under way then ends by itself, the rest is not begun.
 */
export async function inSteps<T, R>(
  items: readonly T[],
  atOnce: number,
  task: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const found: R[] = [];
  for (let from = 0; from < items.length; from += atOnce) {
    const some = items.slice(from, from + atOnce);
    found.push(...(await Promise.all(some.map((item, i) => task(item, from + i)))));
  }
  return found;
}

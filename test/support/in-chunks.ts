/** Calls under way at a time. */
const atOnce = 200;

/** Asks for each of many, some at a time, and gives the answers in their order. */
export async function inChunks<T, R>(
  all: readonly T[],
  one: (item: T, i: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (let from = 0; from < all.length; from += atOnce) {
    const some = all.slice(from, from + atOnce);
    for (const result of await Promise.all(some.map((item, i) => one(item, from + i)))) {
      results.push(result);
    }
  }
  return results;
}

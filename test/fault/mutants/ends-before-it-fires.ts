import type { Mutant } from './mutant.ts';

const file = 'src/delay/fire-queue.js';

export const endsBeforeItFires: Mutant = {
  does: 'ends a delayed message in its log a second before it publishes it',
  spoils: [
    {
      file,
      find: /const results = await this\.#publish\(records\);/,
      replace: `const isFiring = this.#parts.sentState === 'firing';
        if (isFiring) {
          this.#parts.onDone(call.entries, sentMs);
          await new Promise((resolve) => setTimeout(resolve, 1_000));
        }
        const results = await this.#publish(records);`,
    },
    { file, find: /if \(done\.length > 0\)/, replace: 'if (done.length > 0 && !isFiring)' },
  ],
};

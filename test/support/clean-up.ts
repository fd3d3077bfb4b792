import { after } from 'node:test';

type Work = () => void | Promise<void>;
interface Item {
  readonly work: Work;
  readonly atExit: Work | undefined;
}

const stack: Item[] = [];
let listening = false;

/**
 * Runs `work` after the test that calls this (after the file, when called outside a test), the
 * newest first: a node ends before the folder that it writes to goes. `atExit` is the last resort
 * for what must not outlive the process, a child for example: it runs at process exit,
 * synchronously.
 */
export function cleanUp(work: Work, atExit?: () => void): void {
  if (!listening) process.on('exit', () => stack.reverse().forEach((item) => void item.atExit?.()));
  listening = true;
  stack.push({ work, atExit });
  // node:test runs hooks in the order they came. Each takes the newest work instead of its own;
  // tests of a file run one after the other, so a hook finds what its own test left.
  after(async () => {
    const item = stack.pop();
    try {
      await item?.work();
    } catch (error) {
      item?.atExit?.();
      throw error;
    }
  });
}

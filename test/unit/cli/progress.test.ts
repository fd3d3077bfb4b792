import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grouped, Progress } from '../../../src/cli/progress.ts';
import { FakeClock } from '../backend/embedded/doubles.ts';

class Screen {
  readonly written: string[] = [];
  readonly isTTY: boolean | undefined;

  constructor(isTTY: boolean | undefined) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    this.written.push(text);
  }
}

const clear = '\r\u001b[K';

test('on a terminal the line is written anew every 200 ms, and taken away at the end', () => {
  const [clock, screen] = [new FakeClock(), new Screen(true)];
  let answered = 0;
  const progress = new Progress(() => `${grouped(answered)} answered`, clock, screen);
  clock.advance(199);
  assert.deepEqual(screen.written, [], 'a command that is done at once shows nothing');
  clock.advance(1);
  answered = 1_234_567;
  clock.advance(200);
  assert.deepEqual(screen.written, [`${clear}0 answered`, `${clear}1,234,567 answered`]);
  progress.end();
  clock.advance(10_000);
  assert.deepEqual(screen.written.slice(2), [clear]);
  assert.equal(clock.timers, 0);
});

test('a file or a pipe gets no progress, and no timer runs for it', () => {
  for (const isTTY of [false, undefined]) {
    const [clock, screen] = [new FakeClock(), new Screen(isTTY)];
    const progress = new Progress(() => 'never', clock, screen);
    clock.advance(10_000);
    progress.end();
    assert.deepEqual(screen.written, []);
    assert.equal(clock.set, 0);
  }
});

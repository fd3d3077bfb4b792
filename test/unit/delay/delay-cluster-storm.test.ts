import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../../src/base/errors.ts';
import { countOf, Seeded, seed } from '../../support/seeded.ts';
import { DelayWorld } from './delay-world.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const count = countOf('MQP_DELAY_STORM', isLong ? 1_000_000 : 20_000);
const storms = 5;
const perStorm = Math.floor(count / storms);
/** All of a storm become due within so many ms, after a calm of so many. */
const spanMs = 400;
const calmMs = 1_000;
const laterMs = 5_000;
/** So many that more than half of all messages are cancelled in time. */
const commandsEach = 3.5;

type Command = 'cancel' | 'move';

/** What the answers so far say of one message. */
interface Model {
  readonly id: Buffer;
  dueMs: number;
  isCancelled: boolean;
  /** It was said to be too late: it fires, or has. */
  isTooLate: boolean;
  fired: number;
}

/** Commands and firings of one storm, held against what was answered, in the order of both. */
class Storm {
  readonly world = new DelayWorld();
  readonly answers = new Map<string, number>();
  private readonly random: Seeded;
  private models: Model[] = [];
  private open = new Set<Promise<void>>();

  constructor(random: Seeded) {
    this.random = random;
    // What fired is ended a while later, and commands come for it meanwhile.
    this.world.endsTurnMs = 8;
  }

  async blow(): Promise<void> {
    const { world, random } = this;
    world.publishTurns = 1 + random.below(4);
    const beginMs = world.clock.nowMs + calmMs;
    this.models = Array.from({ length: perStorm }, (_, i) => {
      const dueMs = beginMs + Math.floor((i * spanMs) / perStorm);
      const id = world.schedule({ topic: random.pick(['a', 'b']), value: `${i}`, dueMs });
      return { id, dueMs, isCancelled: false, isTooLate: false, fired: 0 };
    });
    await world.settle(8);
    world.clock.jump(calmMs - 20);
    const steps = (spanMs + 40) / 2;
    for (let step = 0; step < steps; step++) {
      for (let i = (commandsEach * perStorm) / steps; i > 0; i--)
        this.command((step * perStorm) / steps);
      world.clock.jump(1 + random.below(3));
      world.clock.fire();
      await world.turns(random.below(3));
      this.drain();
    }
    await this.calm();
  }

  /** Two in three cancel; all are for what is due about now, some are given twice. */
  private command(about: number): void {
    const { random, world } = this;
    const spread = Math.ceil(perStorm / 8);
    const at = Math.floor(about) + random.below(2 * spread) - spread;
    const model = this.models[Math.max(0, Math.min(perStorm - 1, at))] as Model;
    const times = random.below(8) === 0 ? 2 : 1;
    for (let i = 0; i < times; i++) {
      if (random.below(3) > 0) {
        this.give('cancel', model, world.commands.cancel(model.id), model.dueMs);
        continue;
      }
      const earlier = model.dueMs - random.below(spanMs);
      const later = world.clock.nowMs + random.below(laterMs);
      const dueMs = random.pick([earlier, later]);
      this.give('move', model, world.commands.move(model.id, dueMs), dueMs);
    }
  }

  private give(command: Command, model: Model, asked: Promise<string>, dueMs: number): void {
    const told = asked.then(
      (outcome) => this.answered(command, model, outcome, dueMs),
      (error: unknown) => this.answered(command, model, codeOf(error), dueMs),
    );
    const done = told.finally(() => this.open.delete(done));
    this.open.add(done);
    done.catch(() => undefined);
  }

  private answered(command: Command, model: Model, outcome: string, dueMs: number): void {
    const name = `${command} ${outcome}`;
    this.answers.set(name, (this.answers.get(name) ?? 0) + 1);
    const words = `${name} of what is due ${model.dueMs}, fired ${model.fired}`;
    if (outcome === 'cancelled' || outcome === 'moved') {
      assert(!model.isCancelled && !model.isTooLate && model.fired === 0, words);
      if (outcome === 'cancelled') model.isCancelled = true;
      else model.dueMs = dueMs;
    } else if (outcome === 'tooLate') {
      assert(!model.isCancelled, words);
      model.isTooLate = true;
    } else if (outcome === 'notFound') assert(model.isCancelled || model.fired === 1, words);
    else assert.equal(outcome, 'RETRY_LATER');
  }

  private drain(): void {
    const { fired } = this.world;
    for (const { value, atMs } of fired) {
      const model = this.models[Number(value)] as Model;
      const words = `${value}, due ${model.dueMs}, fired ${atMs}`;
      assert(!model.isCancelled, `it was cancelled: ${words}`);
      assert(atMs >= model.dueMs, `early: ${words}`);
      assert.equal(++model.fired, 1, words);
    }
    fired.length = 0;
  }

  /** All commands are answered, and all that was moved comes due. */
  private async calm(): Promise<void> {
    const { world } = this;
    for (let i = 0; i < 2_000 && this.open.size > 0; i++) {
      await world.settle(8);
      this.drain();
      world.clock.jump(1);
    }
    await Promise.all(this.open);
    for (let leftMs = 2 * laterMs; leftMs > 0; leftMs -= 100) {
      world.clock.jump(100);
      await world.settle(8);
      this.drain();
    }
    for (const [i, { isCancelled, fired, dueMs }] of this.models.entries()) {
      assert.equal(fired, isCancelled ? 0 : 1, `${i}, due ${dueMs}, cancelled: ${isCancelled}`);
    }
    assert.equal(world.cluster.pending, 0);
    world.log.clean(world.clock.nowMs);
  }
}

test(`${count} delays are cancelled and moved while they come due, and each answer is kept`, async () => {
  console.log(`seed=${seed} count=${count}`);
  const storm = new Storm(new Seeded(seed));
  await storm.world.start();
  for (let i = 0; i < storms; i++) await storm.blow();
  const { answers, world } = storm;
  console.log([...answers].map(([name, times]) => `${name.replace(' ', '-')}=${times}`).join(' '));
  for (const name of ['cancel cancelled', 'cancel tooLate', 'move moved', 'move tooLate']) {
    assert(answers.has(name), `none was answered ${name}`);
  }
  const cancelled = (answers.get('cancel cancelled') ?? 0) / (storms * perStorm);
  assert(cancelled >= 0.5, `only ${cancelled} of them were cancelled: that is no storm`);
  assert(answers.has('cancel notFound') && answers.has('cancel RETRY_LATER'));
  assert.equal(world.cluster.stats.early, 0);
  await world.stop();
});

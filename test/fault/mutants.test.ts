import assert from 'node:assert/strict';
import { truncateSync } from 'node:fs';
import { test } from 'node:test';
import { connectDelay, delayNumbers } from '../support/connect.ts';
import { logRecordEnds, newestLog } from '../support/data-dir.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { preloadEnv, skipWithoutPreload } from '../support/preload.ts';
import { failedBy, spoiltBuild } from '../support/spoilt-build.ts';
import { until } from '../support/wait.ts';
import type { Guilt } from './checker/verdicts.ts';
import { ConsumeRun, consumeArgs } from './consume-run.ts';
import { DelayCrew } from './delay-crew.ts';
import { FaultRun, type FaultRunOptions } from './fault-run.ts';
import { acksBeforeTheCommit } from './mutants/acks-before-the-commit.ts';
import { answersBeforeSync } from './mutants/answers-before-sync.ts';
import { confirmsTheMaximum } from './mutants/confirms-the-maximum.ts';
import { dropsEvery10000th } from './mutants/drops-every-10000th.ts';
import { endsBeforeItFires } from './mutants/ends-before-it-fires.ts';
import { fencesNoLease } from './mutants/fences-no-lease.ts';
import { forgetsAttempts } from './mutants/forgets-attempts.ts';
import { forgetsTheWindow } from './mutants/forgets-the-window.ts';
import { ignoresTheGeneration } from './mutants/ignores-the-generation.ts';
import type { Mutant } from './mutants/mutant.ts';
import { namesLettersAnew } from './mutants/names-letters-anew.ts';
import { notesAfterTheSending } from './mutants/notes-after-the-sending.ts';
import { skipsTheChain } from './mutants/skips-the-chain.ts';

// Each mutant runs under the faults that show it. Some always; the others with the larger counts.
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const onlyLong = isLong ? false : 'with MQPROXY_TEST_SCALE=long';

/** Starts a run on a build that does something wrong. */
function start(mutant: Mutant, options: FaultRunOptions = {}): Promise<FaultRun> {
  const entry = spoiltBuild(...mutant.spoils);
  return FaultRun.start({ ...options, server: { ...options.server, entry } });
}

/** The run must end with this finding. */
async function caught(run: FaultRun, guilt: Guilt): Promise<void> {
  const { verdicts, counts } = await run.end();
  console.log(`answered=${counts.answered} ${String(verdicts).split('\n')[0]}`);
  assert(verdicts.count(guilt) > 0, `${guilt} was to be found: ${verdicts}`);
}

test(`a build that ${answersBeforeSync.does} is caught by a loss of power`, {
  skip: skipWithoutPreload(),
}, async () => {
  // The mark outside of the store would tell at the start already; what was answered has to.
  const spoils = [...answersBeforeSync.spoils, ...skipsTheChain.spoils];
  const run = await start({ ...answersBeforeSync, spoils }, { preload: true });
  for (let cycle = 0; cycle < 3; cycle++) await run.losePower();
  await caught(run, 'lost');
});

test(`a build that ${forgetsTheWindow.does} is caught by lost answers`, async () => {
  const run = await start(forgetsTheWindow, { proxied: true });
  // What is cut off has stored messages whose answers were on their way.
  run.proxy?.setFaults({}, { latencyMs: 50 });
  for (let cycle = 0; cycle < 4; cycle++) {
    await run.instant();
    run.proxy?.resetAll();
    await run.crew.untilAnswered();
  }
  await caught(run, 'unexplained-duplicate');
});

test(`a build that ${ignoresTheGeneration.does} is caught by the models of a lane`, () => {
  // A run shows it when producers break, which the larger counts make them; the models always do.
  for (const model of ['forwarder', 'roads']) {
    const failed = failedBy(`unit/produce/sending/${model}`, ...ignoresTheGeneration.spoils);
    console.log(`${model}: ${failed.join(' | ')}`);
    assert.ok(
      failed.some((title) => title.includes('every message')),
      `the model of ${model} saw nothing`,
    );
  }
});

test(`a build that ${ignoresTheGeneration.does} is caught by producers that break`, {
  skip: onlyLong || skipWithoutPreload() || skipWithoutKafka(),
}, async () => {
  const env = preloadEnv({ fatalEvery: 4_000 });
  const breaking = { brokers: await sharedKafka(), crew: { window: 64 }, server: { env } };
  const sound = await FaultRun.start(breaking);
  await sound.crew.untilAnswered(40_000);
  await sound.endWell({ answered: 40_000, resends: 5 });
  const run = await start(ignoresTheGeneration, breaking);
  await run.crew.untilAnswered(40_000);
  await caught(run, 'disordered');
});

test(`a build that ${skipsTheChain.does} is caught by a disk that forgets`, {
  skip: onlyLong,
}, async () => {
  const run = await start(skipsTheChain);
  await run.crew.untilAnswered(1_000);
  await run.server.kill('SIGKILL');
  const log = newestLog(run.server.dataDir);
  truncateSync(log, logRecordEnds(log).at(-20) ?? 0);
  await run.back('disk');
  await caught(run, 'lost');
});

test(`a build that ${dropsEvery10000th.does} is caught by load`, {
  skip: onlyLong || skipWithoutKafka(),
}, async () => {
  const crew = { window: 64 };
  const run = await start(dropsEvery10000th, { brokers: await sharedKafka(), crew });
  await run.crew.untilAnswered(12_000, 120_000);
  await caught(run, 'lost');
});

test(`a build that ${confirmsTheMaximum.does} is caught by kills`, {
  skip: onlyLong || skipWithoutKafka(),
}, async () => {
  const crew = { window: 64 };
  const run = await start(confirmsTheMaximum, { brokers: await sharedKafka(), crew });
  for (let cycle = 0; cycle < 8; cycle++) await run.kill();
  await caught(run, 'lost');
});

test(`a build that ${notesAfterTheSending.does} is caught by kills`, {
  skip: onlyLong || skipWithoutKafka(),
}, async () => {
  const crew = { window: 64 };
  const run = await start(notesAfterTheSending, { brokers: await sharedKafka(), crew });
  // The next one comes before the notes of the start are written.
  for (let cycle = 0; cycle < 8; cycle++) await run.kill();
  await caught(run, 'unexplained-duplicate');
});

/** What consumers see of each, over kills of a node on the embedded log. */
const consumed = [
  { mutant: acksBeforeTheCommit, guilt: 'after-commit', kills: 2 },
  { mutant: fencesNoLease, guilt: 'two-leases', kills: 0 },
  { mutant: forgetsAttempts, guilt: 'attempts', kills: 6 },
  { mutant: namesLettersAnew, guilt: 'dead-twice', kills: 6 },
] as const;

for (const { mutant, guilt, kills } of consumed) {
  const skip = mutant === acksBeforeTheCommit ? false : onlyLong;
  test(`a build that ${mutant.does} is caught by consumers`, { skip }, async () => {
    const crew = { clients: 2, window: 32, ratePerSecond: 500 };
    const run = await start(mutant, { crew, server: { args: [...consumeArgs] } });
    const consuming = new ConsumeRun({ topics: run.topics, nodes: [run.server], seed: run.seed });
    run.onKill = () => consuming.killed(run.server);
    await consuming.untilAcked(500);
    for (let kill = 0; kill < kills; kill++) {
      await run.kill();
      await consuming.untilAcked(300);
    }
    await run.end();
    const { verdicts } = await consuming.end();
    console.log(String(verdicts).split('\n')[0]);
    assert(verdicts.count(guilt) > 0, `${guilt} was to be found: ${verdicts}`);
  });
}

test(`a build that ${endsBeforeItFires.does} is caught by kills while delays fire`, {
  skip: onlyLong,
}, async () => {
  const run = await start(endsBeforeItFires);
  const delays = await DelayCrew.start({ server: run.address, seed: run.seed });
  for (let kill = 0; kill < 2; kill++) {
    const client = await connectDelay(run.server);
    await until(async () => (await delayNumbers(client)).fired >= 100, { what: 'some to fire' });
    await client.close();
    await run.kill();
    delays.checker.disturbed(Date.now());
  }
  const verdicts = await delays.end({ fired: 100 });
  await run.end();
  console.log(String(verdicts).split('\n')[0]);
  assert(verdicts.count('lost') > 0, `lost was to be found: ${verdicts}`);
});

// `npm run bench`: asks each question of real parts, side by side, and prints one JSON document.
import { availableParallelism, cpus, totalmem } from 'node:os';
import { messageOf } from '../src/base/errors.ts';
import { packageRoot } from '../src/base/package-root.ts';
import { commitOf, cpuTicks, stealPercent } from '../src/cli/load/machine-load.ts';
import { type BenchOptions, benchOptions, chosen, usage } from './options.ts';
import type { Question, Span } from './question.ts';
import { questions } from './questions.ts';
import { Rig } from './rig.ts';
import { direct } from './sides.ts';
import { missedFigures, type SideRuns, type Summary, summaryOf } from './statistics.ts';

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** Each side once per pair; every other pair the other way round, so that none is always first. */
async function ask(question: Question, rig: Rig, options: BenchOptions): Promise<Summary> {
  say(`\n${question.name}: ${question.title}`);
  const span: Span = { seconds: options.seconds, warmupSeconds: options.warmupSeconds };
  const sides: SideRuns[] = question.sides
    .filter(({ slow }) => !slow || !options.quick)
    .map((side) => ({ side, runs: [] }));
  const pairs = Math.min(options.pairs, question.pairsMax ?? Number.POSITIVE_INFINITY);
  for (let pair = 0; pair < pairs; pair++) {
    for (const { side, runs } of pair % 2 === 0 ? sides : [...sides].reverse()) {
      const run = await side.run(rig, span);
      runs.push(run);
      const { requestsPerSecond, latencyMs, drainSeconds, missing, duplicates, failed } = run;
      const ms = [latencyMs.p50, latencyMs.p99].map((value) => value.toFixed(2)).join(' / ');
      const odd = [
        missing > 0 ? `  MISSING ${missing}` : '',
        failed > 0 ? `  failed ${failed}` : '',
        duplicates > 0 ? `  duplicates ${duplicates}` : '',
        ...Object.entries(run.extra ?? {}).map(([name, value]) => `  ${name} ${value.toFixed(1)}`),
      ].join('');
      const rate = Math.round(requestsPerSecond).toLocaleString('en');
      say(
        `  ${side.name.padEnd(22)} ${rate.padStart(10)}/s  p50 / p99 ${ms} ms  ` +
          `drained in ${drainSeconds} s  steal ${run.stealPercent} %${odd}`,
      );
    }
  }
  const summary = summaryOf(question, sides);
  for (const figure of summary.figures) {
    const { of, to, measure, median, min, max, atLeast, atMost, reached } = figure;
    const bound = atLeast === undefined ? `<= ${atMost}` : `>= ${atLeast}`;
    const wanted = reached === null ? '' : `  wanted ${bound}: ${reached ? 'yes' : 'NO'}`;
    const what = to === undefined ? `${measure} of ${of}` : `${measure} of ${of} / ${to}`;
    say(`  = ${what}: ${median} (${min} to ${max})${wanted}`);
  }
  return summary;
}

/** A broker that has just started compiles its code: the first side would pay for all others. */
async function warmUp(rig: Rig, seconds: number): Promise<void> {
  say(`warming the broker up, ${2 * seconds} s`);
  const span: Span = { seconds, warmupSeconds: 0 };
  await direct({ size: 1024 }).run(rig, span);
  await direct({ size: 100, connections: 1 }).run(rig, span);
}

async function main(): Promise<number> {
  const options = benchOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  if (options.list) {
    for (const { name, title } of questions) process.stdout.write(`${name.padEnd(26)}${title}\n`);
    return 0;
  }
  const asked = chosen(questions, options);
  const ticks = cpuTicks();
  const rig = await Rig.open(options.kafka, options.kafkaFolder);
  const answers: Summary[] = [];
  try {
    await warmUp(rig, options.quick ? 2 : 10);
    for (const question of asked) answers.push(await ask(question, rig, options));
  } finally {
    await rig.close();
  }
  const missing = answers
    .flatMap(({ sides }) => sides)
    .reduce((sum, side) => sum + side.missing, 0);
  const document = {
    commit: commitOf(packageRoot()),
    date: new Date().toISOString(),
    nodeVersion: process.versions.node,
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? null,
    memoryBytes: totalmem(),
    pairs: options.pairs,
    seconds: options.seconds,
    stealPercent: stealPercent(ticks, cpuTicks()),
    missing,
    questions: answers,
  };
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  const missed = missedFigures(answers);
  if (missed.length > 0) say(`\nnot reached: ${missed.join(', ')}`);
  return missing > 0 || (options.strict && missed.length > 0) ? 1 : 0;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

try {
  process.exitCode = await main();
} catch (error) {
  say(`bench: ${messageOf(error)}`);
  process.exitCode = 1;
}

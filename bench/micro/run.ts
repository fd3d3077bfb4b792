// `npm run bench -- --micro [--seconds S] [--only WORD] [--strict]`: single parts by
// themselves, JSON on stdout. WORD is a part: wire, wheel, offsets or lane. With --strict the exit
// code is 1 when something is not as wanted.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { packageRoot } from '../../src/base/package-root.ts';
import { commitOf } from '../../src/cli/load/machine-load.ts';
import { judged } from './fact.ts';
import { laneMicros } from './lane.ts';
import { timed } from './micro.ts';
import { offsetMicros } from './offsets.ts';
import { wheelMicros } from './wheel.ts';
import { wheelFacts } from './wheel-facts.ts';
import { wireMicros } from './wire.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '1' },
    only: { type: 'string' },
    strict: { type: 'boolean', default: false },
  },
});
const asked = (part: string): boolean => values.only === undefined || values.only === part;
const micros = [
  ...(asked('wire') ? wireMicros() : []),
  ...(asked('offsets') ? offsetMicros() : []),
  ...(asked('wheel') ? wheelMicros() : []),
  ...(asked('lane') ? await laneMicros() : []),
];
const results = await timed(micros, Number(values.seconds));
for (const { name, unit, perSecond, nanosEach, callMicros, wanted, reached } of results) {
  const rate = perSecond.toLocaleString('en').padStart(15);
  const call = `call p50 / p99 ${callMicros.p50} / ${callMicros.p99} µs`;
  const aim = wanted === undefined ? '' : `  wanted ${wanted}: ${reached ? 'yes' : 'NO'}`;
  const line = `${name.padEnd(50)} ${rate} ${unit}/s  ${nanosEach} ns each  ${call}${aim}`;
  process.stderr.write(`${line}\n`);
}
const facts = asked('wheel') ? judged(wheelFacts()) : [];
for (const { name, unit, value, atLeast, atMost, reached } of facts) {
  const bound = atLeast === undefined ? `<= ${atMost}` : `>= ${atLeast.toLocaleString('en')}`;
  const aim = reached === null ? '' : `  wanted ${bound}: ${reached ? 'yes' : 'NO'}`;
  process.stderr.write(`${name}: ${value.toLocaleString('en')} ${unit}${aim}\n`);
}
const document = {
  commit: commitOf(packageRoot()),
  nodeVersion: process.versions.node,
  cores: availableParallelism(),
  results,
  facts,
};
process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
const isMissed = [...results, ...facts].some(({ reached }) => reached === false);
if (values.strict && isMissed) process.exitCode = 1;

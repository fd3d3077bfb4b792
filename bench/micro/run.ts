// `npm run bench -- --micro [--seconds S]`: single parts by themselves, JSON on stdout.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { packageRoot } from '../../src/base/package-root.ts';
import { commitOf } from '../../src/cli/load/machine-load.ts';
import { laneMicros } from './lane.ts';
import { timed } from './micro.ts';
import { wheelMicros } from './wheel.ts';
import { wireMicros } from './wire.ts';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '1' } } });
const micros = [...wireMicros(), ...wheelMicros(), ...(await laneMicros())];
const results = await timed(micros, Number(values.seconds));
for (const { name, unit, perSecond, nanosEach, callMicros } of results) {
  const rate = perSecond.toLocaleString('en').padStart(15);
  const call = `call p50 / p99 ${callMicros.p50} / ${callMicros.p99} µs`;
  process.stderr.write(`${name.padEnd(44)} ${rate} ${unit}/s  ${nanosEach} ns each  ${call}\n`);
}
const document = {
  commit: commitOf(packageRoot()),
  nodeVersion: process.versions.node,
  cores: availableParallelism(),
  results,
};
process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);

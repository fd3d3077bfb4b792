import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { coded } from '../../base/errors.ts';
import { grouped } from '../progress.ts';
import { type Finding, ok, warn } from './finding.ts';

/** A line of `resends.jsonl`, as far as it is summed up. */
interface Line {
  readonly timeMs: number;
  readonly cause: string;
  readonly lane: number;
  readonly cluster?: number;
  readonly ids: readonly (readonly [string, number, number, number])[];
}

interface Sum {
  messages: number;
  lastMs: number;
}

const clusters = ['primary', 'backup'];

/** Sums up what the node has sent again, by cause and cluster: each may be a duplicate. */
export function checkResends(dataDir: string): Finding[] {
  const sums = new Map<string, Sum>();
  let bad = 0;
  for (const name of ['resends.jsonl.1', 'resends.jsonl']) {
    const path = join(dataDir, name);
    if (!existsSync(path)) continue;
    for (const text of readFileSync(path, 'utf8').split('\n')) {
      if (text !== '' && !add(sums, text)) bad++;
    }
  }
  const findings = [...sums].map(([what, { messages, lastMs }]) => {
    const when = new Date(lastMs).toISOString();
    const found = `${grouped(messages)} messages may be twice in Kafka: ${what}, last ${when}`;
    return ok('resends', found);
  });
  // The last line of a node that was killed may be cut short.
  if (bad > 1) {
    const found = `${bad} lines of resends.jsonl cannot be read`;
    findings.push(warn('resends', found, 'look at the disk; the file is for people only'));
  }
  return findings;
}

function add(sums: Map<string, Sum>, text: string): boolean {
  try {
    const { cause, lane, cluster = 0, ids, timeMs } = lineOf(text);
    const what = `${cause}, lane ${lane}, to the ${clusters[cluster] ?? cluster}`;
    const sum = sums.get(what) ?? { messages: 0, lastMs: 0 };
    for (const [, , , count] of ids) sum.messages += count;
    sum.lastMs = Math.max(sum.lastMs, timeMs);
    sums.set(what, sum);
    return true;
  } catch {
    return false;
  }
}

function lineOf(text: string): Line {
  // One that was cut short is continued by the next.
  const line = JSON.parse(text.slice(Math.max(0, text.lastIndexOf('{"timeMs"')))) as Line;
  if (!Array.isArray(line.ids) || !Number.isFinite(line.timeMs)) {
    throw coded('RESENDS_LINE', 'not a line of the log of resends');
  }
  return line;
}

import { isUtf8 } from 'node:buffer';
import type { DeadLetter } from '../../../protocol/src/dead-letters.ts';
import { tableOf } from '../output.ts';

const REASON_WIDTH = 60;

/** A table of letters; the head only once over pages. */
export function letterTable(letters: readonly DeadLetter[], withHead: boolean): string {
  const rows = letters.map((letter) => [
    `${letter.origin.partition}/${letter.origin.offset}`,
    letter.id ?? '',
    timeText(letter.lastFailureMs),
    String(letter.attempts),
    letter.fingerprint ?? '',
    shortReason(letter),
  ]);
  const head = ['place', 'id', 'last failure', 'attempts', 'fingerprint', 'reason'];
  const text = tableOf(head, rows);
  return withHead ? text : text.slice(text.indexOf('\n') + 1);
}

/** One letter on a page of its own. */
export function letterPage(letter: DeadLetter): string {
  const { origin, key, value } = letter;
  const lines = [
    ['id', letter.id ?? '-'],
    [
      'was at',
      `${origin.topic} ${origin.partition}/${origin.offset}${clusterText(origin.cluster)}`,
    ],
    ['lies at', `${letter.partition}/${letter.offset}${clusterText(letter.cluster)}`],
    ['attempts', `${letter.attempts}, ended by ${letter.cause ?? '-'}`],
    ['first failure', timeText(letter.firstFailureMs)],
    ['last failure', timeText(letter.lastFailureMs)],
    ['fingerprint', letter.fingerprint ?? '-'],
    ['reason', letter.reason === '' ? '-' : letter.reason],
    ['key', key === undefined ? '-' : bytesText(key)],
    ['value', value === null ? 'null' : bytesText(value ?? new Uint8Array())],
  ];
  return lines.map(([name = '', text]) => `${name.padEnd(14)}${text}\n`).join('');
}

/** As JSON: times as they are, key and value as text where they are text, else as base64. */
export function letterJson(letter: DeadLetter): Record<string, unknown> {
  const { key, value, ...rest } = letter;
  return {
    ...rest,
    ...(key === undefined ? {} : bytesJson('key', key)),
    ...(value === undefined ? {} : value === null ? { value } : bytesJson('value', value)),
  };
}

function bytesJson(name: string, bytes: Uint8Array): Record<string, string> {
  const buffer = Buffer.from(bytes);
  if (isUtf8(bytes)) return { [name]: buffer.toString('utf8') };
  return { [`${name}Base64`]: buffer.toString('base64') };
}

function bytesText(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes);
  return isUtf8(bytes) ? buffer.toString('utf8') : `base64 ${buffer.toString('base64')}`;
}

function shortReason({ reason, cause }: DeadLetter): string {
  const [line = ''] = reason.split('\n', 1);
  if (line === '') return cause === 'expiry' ? '(lease ran out)' : '';
  return line.length > REASON_WIDTH ? `${line.slice(0, REASON_WIDTH - 1)}…` : line;
}

function clusterText(cluster: number): string {
  return cluster === 0 ? '' : ' of the backup';
}

function timeText(timeMs: number | undefined): string {
  return timeMs === undefined ? '-' : new Date(timeMs).toISOString();
}

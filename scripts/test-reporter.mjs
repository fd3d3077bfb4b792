// A node:test reporter for scripts/test.mjs: one JSON line per finished test (suites are not
// counted).

import { inspect } from 'node:util';

/** What node:test says of an error that came when its test was over, which fails the file. */
const lateError = /generated asynchronous activity after the test ended/;

export default async function* report(source) {
  for await (const { type, data } of source) {
    if (type === 'test:diagnostic' && lateError.test(data.message)) {
      const late = { name: 'after a test', status: 'failed', why: data.message };
      yield `${JSON.stringify(late)}\n`;
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite') continue;
    const skipped = data.skip !== undefined || data.todo !== undefined;
    const status = skipped ? 'skipped' : type === 'test:pass' ? 'passed' : 'failed';
    const error = data.details?.error;
    const reason = typeof data.skip === 'string' ? data.skip : undefined;
    const why = status === 'failed' ? inspect(error?.cause ?? error, { depth: 4 }) : reason;
    yield `${JSON.stringify({ name: data.name, status, why, file: data.file, line: data.line })}\n`;
  }
}

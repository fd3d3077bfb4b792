// Generates constants and tables from protocol/schema.json.
//   node scripts/generate.mjs          writes what differs
//   node scripts/generate.mjs --check  writes nothing; exit 1 and a line per file that differs
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const schema = JSON.parse(readFileSync(join(root, 'protocol/schema.json'), 'utf8'));
const hex = (code) => `0x${code.toString(16).padStart(2, '0')}`;
const codes = (entries) => entries.map((e) => [e.name, e.code]);
const yes = (flag) => (flag ? 'yes' : '');

verifySchema();
const check = process.argv.includes('--check');
const outputs = [
  ['protocol/src/generated.ts', constants()],
  ['docs/errors.md', errorsPage()],
  ...(existsSync(join(root, 'protocol/SPEC.md')) ? [['protocol/SPEC.md', specification()]] : []),
];
let differing = 0;
for (const [path, wanted] of outputs) {
  const file = join(root, path);
  const found = existsSync(file) ? readFileSync(file, 'utf8') : undefined;
  if (found === wanted) continue;
  differing += 1;
  if (check) {
    console.error(
      `${path}${firstDifference(found ?? '', wanted)} is not what protocol/schema.json gives`,
    );
  } else {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, wanted);
    console.log(`wrote ${path}`);
  }
}
if (check && differing > 0) {
  console.error('run: npm run generate');
  process.exitCode = 1;
}

/** Refuses a schema whose names or codes collide: every table must read back to one meaning. */
function verifySchema() {
  const lists = {
    opcodes: [...schema.opcodes, ...schema.answers],
    errors: schema.errors,
    ...Object.fromEntries(schema.sets.map((set) => [set.name, set.values])),
  };
  for (const [list, entries] of Object.entries(lists)) {
    for (const key of ['name', 'code']) {
      const seen = new Set();
      for (const entry of entries) {
        if (seen.has(entry[key])) fail(`${list}: ${key} ${entry[key]} stands twice`);
        seen.add(entry[key]);
      }
    }
  }
  for (const set of schema.sets.filter((s) => s.kind === 'bits')) {
    for (const { name, code } of set.values) {
      if ((code & (code - 1)) !== 0) fail(`${set.name}.${name} is not one bit`);
    }
  }
}

function fail(message) {
  console.error(`protocol/schema.json: ${message}`);
  process.exit(1);
}

function firstDifference(found, wanted) {
  const a = found.split('\n');
  const b = wanted.split('\n');
  const line = b.findIndex((text, i) => text !== a[i]);
  return `:${(line < 0 ? b.length : line) + 1}`;
}

function constants() {
  const parts = [
    '// Generated from protocol/schema.json by `npm run generate`. Do not edit.\n',
    `/** First bytes of HELLO. */\nexport const MAGIC = '${schema.magic}';\n`,
    `/** The protocol version spoken here. */\n` +
      `export const PROTOCOL_VERSION = ${schema.version};\n`,
    `/** Bytes of a frame before its body, the length field included. */\n` +
      `export const FRAME_HEADER_BYTES = ${schema.frame.headerBytes};\n`,
    `/** Least value of a frame's length field. */\n` +
      `export const FRAME_LENGTH_MIN = ${schema.frame.lengthMin};\n`,
    `/** Set in the opcode of every answer. */\nexport const ANSWER = ${hex(schema.answerBit)};\n`,
    constant(
      'Opcode',
      'Opcodes of requests (and of GOAWAY, which only the node sends).',
      codes(schema.opcodes),
    ),
    constant(
      'Answer',
      'Opcodes of answers that are not `request | ANSWER` alone.',
      codes(schema.answers),
    ),
    ...schema.sets.map((set) => constant(set.name, sentence(set.meaning), codes(set.values), set)),
    constant(
      'ErrorCode',
      'Error codes; docs/errors.md says what to do.',
      schema.errors.map((e) => [e.name, e.code]),
      { decimal: true },
    ),
    errorTable(),
    limits(),
  ];
  return parts.join('\n');
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

function constant(name, doc, entries, { kind, decimal, values } = {}) {
  const lines = entries.map(([key, code], i) => {
    const meaning = values?.[i]?.meaning;
    const comment = meaning ? `  /** ${sentence(meaning)} */\n` : '';
    return `${comment}  ${key}: ${decimal ? code : hex(code)},\n`;
  });
  let text = `/** ${doc} */\nexport const ${name} = {\n${lines.join('')}} as const;\n`;
  text += `export type ${name} = (typeof ${name})[keyof typeof ${name}];\n`;
  if (kind === 'bits') {
    const mask = entries.reduce((bits, [, code]) => bits | code, 0);
    const constantName = name.replace(/([a-z])([A-Z])/g, '$1_$2').toUpperCase();
    text += `/** Every bit of {@link ${name}}; any other is refused. */\n`;
    text += `export const ${constantName}S = ${hex(mask)};\n`;
  }
  return text;
}

function errorTable() {
  const rows = schema.errors.map(
    (e) =>
      `  {\n    name: '${e.name}',\n    code: ${e.code},\n` +
      `    retriable: ${e.retriable === true},\n    fatal: ${e.fatal === true},\n` +
      `    meaning: ${quote(e.meaning)},\n    action: ${quote(e.action)},\n  },\n`,
  );
  return (
    '/** One row of the error table. */\nexport interface ErrorRow {\n' +
    '  readonly name: keyof typeof ErrorCode;\n  readonly code: ErrorCode;\n' +
    '  /** The same request, with the same id, may succeed later. */\n' +
    '  readonly retriable: boolean;\n' +
    '  /** The node closes the connection after sending it. */\n  readonly fatal: boolean;\n' +
    '  readonly meaning: string;\n  /** What the user can do. */\n' +
    '  readonly action: string;\n}\n\n' +
    '/** Every error code, by rising code. */\n' +
    `export const ERROR_TABLE: readonly ErrorRow[] = [\n${rows.join('')}];\n`
  );
}

function quote(text) {
  return text.includes("'") ? JSON.stringify(text) : `'${text}'`;
}

function limits() {
  const rows = schema.limits.map(
    (l) =>
      `  /** ${sentence(l.meaning)} Unit: ${l.unit}. */\n` +
      `  ${l.name}: ${l.default.toLocaleString('en-US').replaceAll(',', '_')},\n`,
  );
  return (
    "/** Limits and their defaults; HELLO's answer carries those a node can set. */\n" +
    `export const PROTOCOL_LIMIT = {\n${rows.join('')}} as const;\n`
  );
}

function errorsPage() {
  return (
    '# Errors\n\n' +
    '<!-- Generated from protocol/schema.json by `npm run generate`. Do not edit. -->\n\n' +
    'Every refusal of a node has one of these codes, on every interface. *Retriable*: the\n' +
    'same request, with the same message id, may succeed later. *Fatal*: the node sends it and\n' +
    'closes the connection.\n\n' +
    `${errorsTable()}\nA code that is not in this table comes from a newer node: treat it as\n` +
    'not retriable, and as fatal if the node closes.\n'
  );
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}

function errorsTable() {
  return table(
    ['code', 'name', 'retriable', 'fatal', 'meaning', 'what you can do'],
    schema.errors.map((e) => [
      e.code,
      `\`${e.name}\``,
      yes(e.retriable),
      yes(e.fatal),
      e.meaning,
      e.action,
    ]),
  );
}

/** The tables inside SPEC.md stand between `<!-- generated:NAME -->` and `<!-- /generated -->`. */
function specification() {
  const tables = {
    errors: errorsTable(),
    limits: table(
      ['limit', 'unit', 'default', 'in HELLO', 'bounds'],
      schema.limits.map((l) => [
        `\`${l.name}\``,
        l.unit,
        l.default.toLocaleString('en-US'),
        yes(l.negotiated),
        l.meaning,
      ]),
    ),
    opcodes: table(
      ['opcode', 'name', 'clause', 'answered by'],
      schema.opcodes.map((o) => [
        hex(o.code),
        `\`${o.name}\``,
        o.clause,
        o.answer === null
          ? 'nothing'
          : `\`${o.answeredBy ?? o.name}\` ${hex(o.answeredBy ? 0xa0 : o.code | schema.answerBit)}`,
      ]),
    ),
    reserved: table(
      ['range', 'for'],
      schema.reserved.map((r) => [`${hex(r.from)}–${hex(r.to)}`, r.for]),
    ),
    flags: table(
      ['set', 'name', 'code', 'meaning'],
      schema.sets.flatMap((set) => [
        ...set.values.map((v) => [`\`${set.name}\``, `\`${v.name}\``, hex(v.code), v.meaning]),
        ...(set.reserved ?? []).map((r) => [`\`${set.name}\``, 'reserved', hex(r.code), r.for]),
      ]),
    ),
  };
  const file = readFileSync(join(root, 'protocol/SPEC.md'), 'utf8');
  return file.replace(/<!-- generated:(\w+) -->\n[\s\S]*?<!-- \/generated -->/g, (_, name) => {
    if (!(name in tables)) fail(`SPEC.md asks for a table named ${name}`);
    return `<!-- generated:${name} -->\n${tables[name]}<!-- /generated -->`;
  });
}

import { posix } from 'node:path';
import { codeOnly } from './source-text.ts';

/** A file as a rule sees it. */
export interface TidyFile {
  /** From the repository's root, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** Where a rule is broken, and what to do instead. */
export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

/**
 * One rule. A line is excused by `// tidy-allow NAME: the reason` at its end or on the line before.
 */
export interface TidyRule {
  readonly name: string;
  /** Which files it looks at. */
  applies(path: string): boolean;
  /** The broken lines (from 1) with the replacement to name. */
  find(file: TidyFile): readonly { line: number; message: string }[];
}

const fileLinesMax = 400;
const columnsMax = 100;
const titleWordsMin = 3;

const typescript = (path: string): boolean => path.endsWith('.ts') && !generated(path);
const generated = (path: string): boolean => /(^|\/)generated[^/]*$/.test(path);
const shipped = (path: string): boolean =>
  /^(src|protocol\/src|sdk\/ts\/src)\//.test(path) && typescript(path);
const node = (path: string): boolean => path.startsWith('src/') && typescript(path);
const isTest = (path: string): boolean => path.endsWith('.test.ts');
const native = (path: string): boolean => /\.(c|cc|cpp|h|hpp)$/.test(path);

/** Files that run per message: nothing in them may allocate, wait or format per message. */
export const hotFiles: readonly string[] = [
  'protocol/src/frame-decoder.ts',
  'protocol/src/frame-writer.ts',
  'src/consume/lease/block.ts',
  'src/consume/delivery.ts',
  'src/lanes/ring.ts',
  'src/offsets/bits.ts',
  'src/produce/intake/acker.ts',
  'src/produce/intake/intake.ts',
  'src/produce/sending/pending.ts',
];

/** A rule that bans patterns in code (comments and strings are not looked at). */
function ban(
  name: string,
  applies: (path: string) => boolean,
  patterns: readonly (readonly [pattern: RegExp, message: string])[],
): TidyRule {
  return {
    name,
    applies,
    find: ({ text }) =>
      codeOnly(text)
        .split('\n')
        .flatMap((line, index) =>
          patterns
            .filter(([pattern]) => pattern.test(line))
            .map(([, message]) => ({ line: index + 1, message })),
        ),
  };
}

/** A rule that bans patterns anywhere in a text file. */
function banText(name: string, pattern: RegExp, message: string): TidyRule {
  return {
    name,
    applies: (path) => !/\.(png|ico|jar|bin)$|^package-lock\.json$|^LICENSE$/.test(path),
    find: ({ text }) =>
      text
        .split('\n')
        .flatMap((line, index) => (pattern.test(line) ? [{ line: index + 1, message }] : [])),
  };
}

const clock = 'take a Clock (src/base/clock.ts) by constructor';
const random = 'take a Random (src/base/random.ts) by constructor';

const time = ban('time', (path) => node(path) && !path.startsWith('src/base/'), [
  [/\bDate\.now\b|\bnew Date\(\)/, `${clock}: clock.now()`],
  [/\bperformance\.now\b|\bprocess\.hrtime\b/, `${clock}: clock.monotonic()`],
  [/\bset(Timeout|Interval)\(/, `${clock}: clock.setTimer(…), sleep(clock, ms)`],
  [/\bMath\.random\b/, `${random}: random.float()`],
  [/\brandomBytes\(|\brandomUUID\(|\bgetRandomValues\(/, `${random}: random.bytes(n)`],
]);

const errors = ban('errors', (path) => shipped(path) && !/\/[a-z-]*errors?\.ts$/.test(path), [
  [
    /\bnew (Error|TypeError|RangeError)\(/,
    "use coded('CODE', message, { cause }) of src/base/errors.ts for the world (protocol/ and sdk/ts have " +
      'an error class of their own), assert for our own bugs',
  ],
]);

const config = ban('config', (path) => node(path) && !/^src\/(config|cli)\//.test(path), [
  [
    /\bprocess\.env\b/,
    'read the setting from the frozen Config; its environment name comes from the schema in src/config',
  ],
]);

const hot = ban('hot', (path) => hotFiles.includes(path), [
  [/\bJSON\./, 'no JSON per message: encode into the reused buffer'],
  [/\bBuffer\.concat\b/, 'no Buffer.concat per message: write into the reused buffer'],
  [
    /\bconsole\.|\blog\.(trace|debug|info|warn|error)\(/,
    'no log line per message: count it, and log per batch',
  ],
  [/\basync\b|\bawait\b|\bnew Promise\b/, 'no promise per message: hand in a callback, per batch'],
  [/\.\.\.[A-Za-z_([{]/, 'no spread per message: pass the values, or reuse an object'],
  [/\.(forEach|map|filter|reduce|flatMap)\(/, 'no closure per message: a plain for loop'],
]);

const sleep = ban('sleep', isTest, [
  [
    /\b(setTimeout|setInterval)\b/,
    'wait for the event, use until() of test/support/wait.ts, or a fake clock',
  ],
]);

const nodeApi: TidyRule = {
  name: 'node-api',
  applies: (path) => /^native\/(core|kafka)\//.test(path) && native(path),
  find: ({ text }) =>
    text.split('\n').flatMap((line, index) =>
      /#include\s*[<"](node_api|js_native_api|napi|node|v8)[\w-]*\.h[>"]/.test(line)
        ? [
            {
              line: index + 1,
              message:
                'core/ and kafka/ know no Node: put what needs it into native/bind or native/napi',
            },
          ]
        : [],
    ),
};

const fileLength: TidyRule = {
  name: 'file-length',
  applies: (path) => typescript(path) || native(path) || path.endsWith('.mjs'),
  find: ({ text }) => {
    const lines = text.trimEnd().split('\n').length;
    const message = `${lines} lines: split it by noun, a file has ${fileLinesMax} at most`;
    return lines > fileLinesMax ? [{ line: fileLinesMax + 1, message }] : [];
  },
};

const columns: TidyRule = {
  name: 'columns',
  applies: typescript,
  find: ({ text }) =>
    text.split('\n').flatMap((line, index) => {
      // A long literal cannot be broken, and the formatter leaves it alone.
      if (line.length <= columnsMax || /['"`/]/.test(line.replace(/^\s*(\/\/|\/?\*).*/, '')))
        return [];
      return [{ line: index + 1, message: `${line.length} columns: break it at ${columnsMax}` }];
    }),
};

const titles: TidyRule = {
  name: 'titles',
  applies: isTest,
  find: ({ text }) =>
    text.split('\n').flatMap((line, index) => {
      const title = /^\s*(?:await )?(?:t\.)?test\(\s*(['"`])(.*?)\1,/.exec(line)?.[2];
      if (title === undefined || title.trim().split(/\s+/).length >= titleWordsMin) return [];
      return [
        {
          line: index + 1,
          message: `"${title}" is no sentence: say what holds, "a resend is stored once"`,
        },
      ];
    }),
};

// The needles are put together here so that this file does not find itself.
const machinePath = banText(
  'machine-path',
  new RegExp(
    `(^|[\\s"'\`(=:])/(${['work', 'home', 'root', 'Users'].join('|')})/[\\w.-]+|[A-Z]:\\\\\\\\?Users`,
  ),
  'a path of one machine: use a relative path, a temp folder or an option',
);
const marker = banText(
  'marker',
  new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`),
  'do it, or open an issue and say in words what is not there yet',
);

const lengths: TidyRule = {
  ...banText(
    'lengths',
    new RegExp(`from '${'fast'}-check'`),
    'import fc of test/support/fast-check.ts: lists end at a dozen without its setting',
  ),
  applies: (path) => typescript(path) && path !== 'test/support/fast-check.ts',
};

/** Every rule that looks at one file at a time. */
export const tidyRules: readonly TidyRule[] = [
  time,
  errors,
  config,
  hot,
  sleep,
  nodeApi,
  lengths,
  fileLength,
  columns,
  titles,
  machinePath,
  marker,
];

/** All findings of the rules over the files, without what a line excuses with a reason. */
export function findUntidy(
  files: readonly TidyFile[],
  rules: readonly TidyRule[] = tidyRules,
): Finding[] {
  return files.flatMap((file) => {
    const lines = file.text.split('\n');
    return rules
      .filter((rule) => rule.applies(file.path))
      .flatMap((rule) =>
        rule
          .find(file)
          .filter(({ line }) => !excused(rule.name, lines, line))
          .map(({ line, message }) => ({
            path: file.path,
            line,
            message: `[${rule.name}] ${message}`,
          })),
      );
  });
}

function excused(name: string, lines: readonly string[], line: number): boolean {
  const excuse = new RegExp(`tidy-allow ${name}: \\S+ \\S+`);
  return excuse.test(lines[line - 1] ?? '') || excuse.test(lines[line - 2] ?? '');
}

/** Where the sources are that a folder of test/unit mirrors. */
const mirrors: readonly (readonly [unit: string, sources: readonly string[]])[] = [
  ['test/unit/protocol/', ['protocol/']],
  ['test/unit/sdk/', ['sdk/ts/src/']],
  ['test/unit/native/', ['src/native/', 'native/']],
  ['test/unit/', ['src/']],
];

/** Unit tests whose subject is no source file, and what it is. */
const subjectElsewhere: Readonly<Record<string, string>> = {
  'test/unit/protocol/python-client.test.ts': 'the page "a client in an afternoon" of SPEC.md',
};

/**
 * Unit tests that mirror nothing: `test/unit/store/lane-store.test.ts` needs a file or folder
 * `src/store/lane-store*`. A test may add an aspect to the name of its subject:
 * `lane-store-recovery.test.ts`, `lane-store.model.test.ts`.
 */
export function findUnmirrored(paths: readonly string[]): Finding[] {
  return paths
    .filter((path) => path.startsWith('test/unit/') && isTest(path) && !subjectElsewhere[path])
    .flatMap((path) => {
      const [unit = '', sources = []] = mirrors.find(([prefix]) => path.startsWith(prefix)) ?? [];
      const subject = path.slice(unit.length).replace(/\.test\.ts$/, '');
      if (sources.some((source) => paths.some((other) => mirrored(subject, source, other)))) {
        return [];
      }
      const message = `no source of that name below ${sources.join(' or ')}: name it after its subject`;
      return [{ path, line: 1, message: `[mirror] ${message}` }];
    });
}

/**
 * Whether `other`, a file below `source`, is what a unit test is about: `batch-header` of
 * `store/batch-header`.
 */
function mirrored(subject: string, source: string, other: string): boolean {
  if (!other.startsWith(source)) return false;
  const slash = subject.lastIndexOf('/') + 1;
  const rest = other.slice(source.length);
  if (!rest.startsWith(subject.slice(0, slash))) return false;
  const name = subject.slice(slash);
  const stems = rest.slice(slash).toLowerCase().replaceAll('_', '-').split('/');
  return stems
    .map((stem) => stem.replace(/\.\w+$/, ''))
    .some(
      (stem) => stem.startsWith(name.replace(/s$/, '')) || new RegExp(`^${stem}[-.]`).test(name),
    );
}

/** An import from one folder of a room (`src/consume`) to another of it. */
interface InnerImport {
  readonly from: string;
  readonly to: string;
  readonly path: string;
  readonly line: number;
}

/**
 * Imports by which the folders inside of a room run in a circle. What lies in the room itself
 * is not looked at: it may be a port that they fill, or the whole that they are parts of.
 */
export function findTangled(files: readonly TidyFile[]): Finding[] {
  const sources = files.filter(({ path }) => node(path));
  const rooms = new Set(sources.map(({ path }) => path.split('/').slice(0, 2).join('/')));
  return [...rooms].flatMap((room) => {
    const inner = sources.filter(({ path }) => path.startsWith(`${room}/`)).flatMap(innerImports);
    return inner
      .filter(({ from, to }) => reaches(inner, to, from))
      .map(({ from, to, path, line }) => {
        const message =
          `[tangled] ${from} and ${to} import from each other: ` +
          'move what both need to where neither is';
        return { path, line, message };
      });
  });
}

function innerImports({ path, text }: TidyFile): InnerImport[] {
  const [src = '', room = '', ...inside] = path.split('/');
  const from = inside.slice(0, -1).join('/');
  return text.split('\n').flatMap((line, index) => {
    const specifier = /\bfrom '(\.[^']*)'/.exec(line)?.[1];
    if (specifier === undefined || inside.length === 0) return [];
    const target = posix.join(posix.dirname(path), specifier).split('/');
    if (target[0] !== src || target[1] !== room) return [];
    const to = target.slice(2, -1).join('/');
    return from === '' || to === '' || to === from ? [] : [{ from, to, path, line: index + 1 }];
  });
}

function reaches(
  all: readonly InnerImport[],
  from: string,
  goal: string,
  seen = new Set<string>(),
): boolean {
  if (from === goal) return true;
  if (seen.has(from)) return false;
  seen.add(from);
  return all.some((one) => one.from === from && reaches(all, one.to, goal, seen));
}

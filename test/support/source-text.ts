/**
 * The text with comments and the insides of strings, templates and regular expressions made blank,
 * line for line and column for column: what is left is code. Good enough for tidy rules, not a
 * parser.
 */
export function codeOnly(text: string): string {
  const out: string[] = [];
  let at = 0;
  while (at < text.length) {
    const end = blankEnd(text, at, out);
    if (end === at) out.push(text[at++] ?? '');
    else {
      out.push(blank(text.slice(at, end)));
      at = end;
    }
  }
  return out.join('');
}

/** The comments alone, with the code made blank. */
export function commentsOnly(text: string): string {
  const out: string[] = [];
  let at = 0;
  while (at < text.length) {
    const end = blankEnd(text, at, out);
    const part = text.slice(at, Math.max(end, at + 1));
    const comment = end > at && (part.startsWith('//') || part.startsWith('/*'));
    out.push(comment ? part : blank(part));
    at = Math.max(end, at + 1);
  }
  return out.join('');
}

const blank = (part: string): string => part.replace(/[^\n]/g, ' ');

/**
 * Where the comment, string, template or regular expression that begins at `at` ends; `at` when
 * none does.
 */
function blankEnd(text: string, at: number, before: readonly string[]): number {
  const two = text.slice(at, at + 2);
  const one = two[0] ?? '';
  if (two === '//') return lineEnd(text, at);
  if (two === '/*') return indexAfter(text, '*/', at + 2);
  if (one === "'" || one === '"') return quoteEnd(text, at, one);
  if (one === '`') return quoteEnd(text, at, '`');
  if (one === '/' && regexMayBegin(before)) return regexEnd(text, at);
  return at;
}

function lineEnd(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end;
}

function indexAfter(text: string, needle: string, at: number): number {
  const end = text.indexOf(needle, at);
  return end < 0 ? text.length : end + needle.length;
}

function quoteEnd(text: string, at: number, quote: string): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === quote || (quote !== '`' && text[i] === '\n')) return i + 1;
  }
  return text.length;
}

function regexMayBegin(before: readonly string[]): boolean {
  for (let i = before.length - 1; i >= 0; i--) {
    const part = before[i]?.trimEnd();
    if (part) return '(,=:[!&|?{};><+-*%~^'.includes(part.at(-1) ?? '');
  }
  return true;
}

function regexEnd(text: string, at: number): number {
  let inClass = false;
  for (let i = at + 1; i < text.length; i++) {
    const character = text[i];
    if (character === '\n') return at;
    if (character === '\\') i++;
    else if (character === '[') inClass = true;
    else if (character === ']') inClass = false;
    else if (character === '/' && !inClass) return i + 1;
  }
  return at;
}

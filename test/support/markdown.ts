/** A fenced block of a Markdown text. */
export interface Block {
  /** What stands behind the opening fence, such as `sh run`. */
  readonly info: string;
  readonly text: string;
}

/** The fenced blocks of a text, in order. */
export function blocksOf(markdown: string): Block[] {
  const found = markdown.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm);
  return [...found].map(([, info = '', text = '']) => ({ info: info.trim(), text }));
}

/** The rows of the tables below a heading, up to the next heading; cells without their padding. */
export function tableRows(markdown: string, heading: string): string[][] {
  const lines = markdown.split('\n');
  const start = lines.indexOf(heading);
  if (start < 0) return [];
  const end = lines.findIndex((line, i) => i > start && line.startsWith('#'));
  return lines
    .slice(start, end < 0 ? undefined : end)
    .filter((line, i, all) => line.startsWith('|') && !isHead(line, all[i + 1]))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
}

function isHead(line: string, next: string | undefined): boolean {
  const isRule = (text = ''): boolean => /^\|[-| :]+\|$/.test(text);
  return isRule(line) || isRule(next);
}

/** The anchors that GitHub gives the headings of a text. */
export function anchorsOf(markdown: string): Set<string> {
  const headings = markdown.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/^#+ (.+)$/gm);
  const slug = (text: string): string =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(/\s/g, '-');
  return new Set([...headings].map(([, text = '']) => slug(text)));
}

/** Where the links of a text lead, code left out. */
export function linksOf(markdown: string): string[] {
  const prose = markdown.replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
}

import { isLeaf, type Leaf, showLeaf } from '../../config/leaf.ts';
import type { LoadedConfig } from '../../config/load.ts';
import { childOf, keysOfNamed, listSettings } from '../../config/paths.ts';
import { configSchema } from '../../config/schema.ts';
import { readTls, readTokens } from '../../node-settings.ts';
import type { Command } from '../command.ts';
import { configFileOption, configFlagHelp, splitConfigFlags } from '../config-flags.ts';
import { exitCodes } from '../exit-code.ts';
import { readCommandLine } from '../option.ts';
import { print, printJson, tableOf } from '../output.ts';

const options = {
  ...configFileOption,
  json: { kind: 'boolean', description: 'Print a JSON object a line for each setting.' },
} as const;

const hidden = '(hidden)';
const settings = listSettings(configSchema);

/** `mqproxy check-config`: validates and shows what a node started like this would use. */
export const checkConfigCommand: Command = {
  usage: 'check-config [--config FILE] [--json] [any flag of serve]',
  summary: 'Shows each effective setting and where it comes from; exit code 78 when not valid.',
  get details() {
    return `The files of tls and auth.tokensFile are read too.\n\n${configFlagHelp()}`;
  },
  options,
  async run(argv) {
    const line = splitConfigFlags(argv, options);
    const { options: own } = readCommandLine(line.own, options);
    const loaded = line.load();
    readTokens(loaded.config);
    readTls(loaded.config);
    const rows = effectiveRows(loaded);
    if (own.json) {
      for (const row of rows) await printJson(row);
      return exitCodes.ok;
    }
    const cells = rows.map(({ setting, shown, origin, detail }) => [
      setting,
      shown,
      origin === 'default' ? origin : `${origin} ${detail}`,
    ]);
    await print(tableOf(['setting', 'value', 'origin'], cells));
    return exitCodes.ok;
  },
};

interface EffectiveRow {
  readonly setting: string;
  readonly value: unknown;
  readonly shown: string;
  readonly origin: string;
  readonly detail: string;
}

function effectiveRows({ config, origins }: LoadedConfig): EffectiveRow[] {
  return [...origins].map(([path, { kind, detail }]) => {
    const keys = keysOf(path);
    const leaf = leafAt(keys);
    const value = keys.reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], config);
    const isHidden = leaf?.secret === true && value !== undefined;
    return {
      setting: path,
      value: isHidden ? hidden : (value ?? null),
      shown: isHidden || leaf === undefined ? hidden : showLeaf(leaf, value),
      origin: kind,
      detail,
    };
  });
}

function keysOf(path: string): string[] {
  return keysOfNamed(settings, path) ?? path.split('.');
}

function leafAt(keys: readonly string[]): Leaf | undefined {
  let schema = childOf(configSchema, keys[0] ?? '');
  for (const key of keys.slice(1)) schema = schema && childOf(schema, key);
  return schema !== undefined && isLeaf(schema) ? schema : undefined;
}

import { formOf, showLeaf } from '../config/leaf.ts';
import { type LoadedConfig, loadConfig } from '../config/load.ts';
import { anyName, flagOf, listSettings } from '../config/paths.ts';
import { configSchema } from '../config/schema.ts';
import { type OptionSpecs, readCommandLine } from './option.ts';

/** The option that names the configuration file. */
export const configFileOption = {
  config: {
    kind: 'text',
    value: 'FILE',
    description: 'The configuration, as YAML; or MQPROXY_CONFIG.',
  },
} as const satisfies OptionSpecs;

/** A command line of one's own options and the settings' flags. */
export interface ConfiguredLine {
  /** The words that are one's own, to be read by {@link readCommandLine}. */
  readonly own: readonly string[];
  /** Reads the configuration; again on SIGHUP. */
  load(): LoadedConfig;
}

/**
 * Separates a command's own options from the settings' flags.
 * @throws CodedError `USAGE` or `CONFIG_INVALID` from `load`
 */
export function splitConfigFlags(argv: readonly string[], specs: OptionSpecs): ConfiguredLine {
  const own: string[] = [];
  const flags: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? '';
    const name = /^--([^=]+)/.exec(argument)?.[1] ?? '';
    const spec = Object.hasOwn(specs, name) ? specs[name] : undefined;
    if (spec === undefined) {
      flags.push(argument);
      continue;
    }
    own.push(argument);
    if (spec.kind !== 'boolean' && !argument.includes('=') && i + 1 < argv.length) {
      own.push(argv[++i] ?? '');
    }
  }
  const { options } = readCommandLine(own, configFileOptionOf(specs));
  const file = (options['config'] as string | undefined) ?? process.env['MQPROXY_CONFIG'];
  return { own, load: () => loadConfig({ argv: flags, env: process.env, file }) };
}

function configFileOptionOf(specs: OptionSpecs): OptionSpecs {
  return { ...specs, ...configFileOption };
}

/** The flags of all settings, for `--help`. */
export function configFlagHelp(): string {
  const lines = listSettings(configSchema).map(({ path, leaf }) => {
    const shown = showLeaf(leaf, leaf.default);
    const fallback = shown === '' ? '' : ` (default ${shown})`;
    const name = path.includes(anyName) ? flagOf(path).replace(anyName, 'TOPIC') : flagOf(path);
    const form = formOf(leaf).replaceAll('`', '');
    const description = leaf.description.replaceAll('`', '');
    return `  --${name}\n      ${description}\n      Takes ${form}${fallback}.`;
  });
  return `Settings (flag > MQPROXY_… variable > file > default):\n${lines.join('\n')}`;
}

import { systemClock } from '../../base/clock.ts';
import { formatAddress, isLoopback, parseAddress } from '../../config/address.ts';
import type { Config } from '../../config/schema.ts';
import type { Command } from '../command.ts';
import { configFileOption, configFlagHelp, splitConfigFlags } from '../config-flags.ts';
import { checkBackup } from '../doctor/backup.ts';
import { checkDisk } from '../doctor/disk.ts';
import { type Finding, ok, warn } from '../doctor/finding.ts';
import { checkKafka } from '../doctor/kafka.ts';
import { checkMachine } from '../doctor/machine.ts';
import { checkPort } from '../doctor/ports.ts';
import { checkResends } from '../doctor/resends.ts';
import { checkRunningNode, type RunningNode } from '../doctor/running-node.ts';
import { exitCodes } from '../exit-code.ts';
import { serverOptions } from '../node-client.ts';
import { readCommandLine } from '../option.ts';
import { print, printJson } from '../output.ts';

const { server, ...loginOptions } = serverOptions;

const options = {
  server: { ...server, fallback: '', description: 'The node to look at; default: listen.' },
  ...loginOptions,
  // tls and tls-ca are the command's; tls.cert and tls.key stay settings of the node.
  ...configFileOption,
  json: { kind: 'boolean', description: 'Print a JSON object a line for each finding.' },
} as const;

/** `mqproxy doctor`: looks at what a node needs, with or without a running one. */
export const doctorCommand: Command = {
  usage: 'doctor [--config FILE] [--json] [any flag of serve]',
  summary: 'Checks machine, disk, ports, Kafka and topics, and says what to do.',
  get details() {
    return `Exit code 0 when nothing failed, else 1.\n\n${configFlagHelp()}`;
  },
  options,
  async run(argv) {
    const line = splitConfigFlags(argv, options);
    const { options: own } = readCommandLine(line.own, options);
    const { config } = line.load();
    const address = own.server === '' ? reachable(config.listen) : own.server;
    const node =
      address === undefined ? nowhere : await checkRunningNode({ ...own, server: address });
    const findings: Finding[] = [
      ...(await checkMachine()),
      ...(await checkDisk(config.dataDir, config.outbox.freeBytesMin, systemClock)),
      ...checkResends(config.dataDir),
      await checkPort('listen', config.listen, node.isRunning),
      await checkPort('admin.listen', config.admin.listen, node.isRunning),
      ...(await backendFindings(config)),
      ...safetyFindings(config),
      ...node.findings,
    ];
    if (own.json) for (const finding of findings) await printJson(finding);
    else await print(report(findings));
    return findings.some(({ level }) => level === 'fail') ? exitCodes.refused : exitCodes.ok;
  },
};

const nowhere: RunningNode = {
  isRunning: false,
  findings: [ok('node', 'none is looked for: listen names no port (--server HOST:PORT for one)')],
};

async function backendFindings(config: Config): Promise<Finding[]> {
  if (config.backend === 'kafka') {
    return [...(await checkKafka(config)), ...(await checkBackup(config))];
  }
  return [ok('backend', 'embedded log: one copy, on this disk (--backend kafka for more)')];
}

function safetyFindings(config: Config): Finding[] {
  if (isLoopback(parseAddress(config.listen).host) || config.auth.mechanism !== 'none') return [];
  const found = `${config.listen} is open to the network without a login`;
  return [warn('safety', found, 'set auth.mechanism token and auth.tokensFile, and tls')];
}

/** The address a client on this machine uses for one that is listened on; port 0 is any. */
function reachable(listen: string): string | undefined {
  const { host, port } = parseAddress(listen);
  if (port === 0) return undefined;
  if (host === '0.0.0.0') return `127.0.0.1:${port}`;
  return formatAddress({ host: host === '::' ? '::1' : host, port });
}

function report(findings: readonly Finding[]): string {
  const lines = findings.flatMap(({ level, area, found, advice }) => {
    const line = `${level.toUpperCase().padEnd(4)}  ${area.padEnd(8)}  ${found}`;
    return advice === undefined ? [line] : [line, `${' '.repeat(16)}→ ${advice}`];
  });
  const failed = findings.filter(({ level }) => level === 'fail').length;
  const warned = findings.filter(({ level }) => level === 'warn').length;
  lines.push(`${failed} failed, ${warned} to look at, of ${findings.length} checks`);
  return `${lines.join('\n')}\n`;
}

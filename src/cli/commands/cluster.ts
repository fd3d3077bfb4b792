import {
  CLUSTERS,
  type ClusterStatus,
  type ClusterUse,
  USE_CLUSTER,
} from '../../../protocol/src/clusters.ts';
import { coded } from '../../base/errors.ts';
import type { Command } from '../command.ts';
import { exitCodes } from '../exit-code.ts';
import { serverOptions, withNode } from '../node-client.ts';
import { readCommandLine } from '../option.ts';
import { print, printJson, tableOf } from '../output.ts';

const options = {
  ...serverOptions,
  json: { kind: 'boolean', description: 'Print one JSON object.' },
} as const;

const uses = ['auto', 'primary', 'backup'];

/** `mqproxy cluster status|use`. */
export const clusterCommand: Command = {
  usage: 'cluster status | use primary|backup|auto [options]',
  summary: 'Shows which Kafka cluster is used and why, or sets it by hand.',
  details:
    'What is set by hand holds over restarts, whatever the clusters do, until it is set to auto.',
  options,
  async run(argv) {
    const { options: own, words } = readCommandLine(argv, options);
    const [action, use, ...more] = words;
    let status: ClusterStatus;
    if (action === 'status' && use === undefined) {
      status = await withNode(own, (client) => client.ask(CLUSTERS, {}, { changesNothing: true }));
    } else if (action === 'use' && uses.includes(use ?? '') && more.length === 0) {
      const request = { use: use as ClusterUse };
      status = await withNode(own, (client) => client.ask(USE_CLUSTER, request));
    } else throw coded('USAGE', 'cluster takes status, or use and one of primary, backup, auto');
    await (own.json ? printJson(status) : print(screenOf(status)));
    return exitCodes.ok;
  },
};

function screenOf(status: ClusterStatus): string {
  const { inUse, use, setBy, setAtMs, switches, clusters, elsewhere } = status;
  const when = setAtMs ? ` at ${new Date(setAtMs).toISOString()}` : '';
  const set = use === 'auto' && !setBy ? 'auto' : `${use}, set by ${setBy ?? 'somebody'}${when}`;
  const rows = clusters.map((it) => [
    it.cluster,
    it.circuit,
    new Date(it.sinceMs).toISOString(),
    it.openings,
    it.why || '-',
    it.openTopics.join(', ') || '-',
  ]);
  const table = tableOf(['cluster', 'circuit', 'since', 'openings', 'why', 'open topics'], rows);
  const away = elsewhere.map(({ topic, cluster }) => `${topic} goes to the ${cluster}\n`);
  return `in use    ${inUse}\nuse       ${set}\nswitches  ${switches}\n\n${table}${away.join('')}`;
}

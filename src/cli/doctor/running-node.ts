import type { MqpClient } from '../../../sdk/ts/src/client.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import { type ServerOptions, withNode } from '../node-client.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const openedTopicsMax = 20;
/** For each request, in ms: the node itself waits for a backend that is away. */
const timeoutMs = 3000;

/** Whether a node answers, and what it says of itself. */
export interface RunningNode {
  readonly isRunning: boolean;
  readonly findings: readonly Finding[];
}

/** Asks the node at `options.server`, if there is one. */
export async function checkRunningNode(options: ServerOptions): Promise<RunningNode> {
  const findings: Finding[] = [];
  try {
    await withNode(options, (client) => askNode(client, options.server, findings), timeoutMs);
    return { isRunning: true, findings };
  } catch (error) {
    const code = codeOf(error);
    if (code === 'UNREACHABLE') {
      return { isRunning: false, findings: [ok('node', `none is running at ${options.server}`)] };
    }
    const advice = 'look at its log; a login is given by --token-file';
    const found = `${options.server} answers, but: ${code}: ${messageOf(error)}`;
    return { isRunning: code !== 'BAD_MAGIC', findings: [fail('node', found, advice)] };
  }
}

async function askNode(client: MqpClient, server: string, findings: Finding[]): Promise<void> {
  const { nodeVersion, backend, nodeId } = client.node ?? unknownNode;
  const node = `${server} is node ${nodeId}, version ${nodeVersion}, on ${backend}`;
  const { state, reasons } = await client.status();
  const isWell = state === undefined || state === 'ok';
  findings.push(
    isWell ? ok('node', node) : warn('node', `${node}: ${state}, ${reasons}`, 'see mqproxy status'),
  );
  try {
    const topics = await client.listTopics();
    for (const { name } of topics.slice(0, openedTopicsMax)) {
      const { replicationFactor } = await client.describeTopic(name);
      const isSingle = backend !== 'embedded' && replicationFactor < 2;
      if (isSingle) findings.push(warn('topics', `${name} has one copy`, 'give it 3 replicas'));
    }
    findings.push(ok('topics', `the node knows ${topics.length} topics`));
  } catch (error) {
    const found = `the node cannot describe its topics: ${codeOf(error)}: ${messageOf(error)}`;
    findings.push(warn('topics', found, 'it stores what it takes; see the findings on Kafka'));
  }
}

const unknownNode = { nodeVersion: '?', backend: '?', nodeId: '?' };

import { readFileSync } from 'node:fs';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { MqpError } from '../../sdk/ts/src/errors.ts';
import type { ClientOptions, TlsOptions } from '../../sdk/ts/src/types.ts';
import { coded, codeOf, messageOf } from '../base/errors.ts';
import { formatAddress, parseAddress } from '../config/address.ts';
import type { OptionSpecs, OptionValues } from './option.ts';

/** The options of every command that talks to a node. */
export const serverOptions = {
  server: {
    kind: 'text',
    value: 'HOST:PORT',
    description: 'The node to talk to; of several with commas the one that answers, and owns it.',
    fallback: '127.0.0.1:7650',
  },
  'token-file': {
    kind: 'text',
    value: 'FILE',
    description: 'A file with the token to log in with; or the variable MQPROXY_TOKEN.',
  },
  tls: { kind: 'boolean', description: 'Speak TLS.' },
  'tls-ca': {
    kind: 'text',
    value: 'FILE',
    description: 'Speak TLS, and trust the authorities of this PEM file.',
  },
} as const satisfies OptionSpecs;

/** The values of {@link serverOptions}. */
export type ServerOptions = OptionValues<typeof serverOptions>;

/** How long a command tries to reach its node, in ms, where it has no deadline of its own. */
const connectTimeoutMs = 2000;
/** How long a request may take, in ms: a backend that is away must not look like a hang. */
const requestTimeoutMs = 15_000;

/**
 * Connects to the node that the options name.
 * @throws CodedError `UNREACHABLE` with what to do, `USAGE`; MqpError when the node refuses
 */
export async function connectNode(
  options: ServerOptions,
  extra: Partial<ClientOptions> = {},
): Promise<MqpClient> {
  const servers = serversOf(options.server);
  const token = tokenOf(options);
  const tls = tlsOf(options);
  try {
    return await MqpClient.connect({
      servers,
      clientName: 'mqproxy-cli',
      connectTimeoutMs,
      ...(token === undefined ? {} : { token }),
      ...(tls === undefined ? {} : { tls }),
      ...extra,
    });
  } catch (error) {
    if (!(error instanceof MqpError)) throw error;
    if (error.code === 'AUTHENTICATION_FAILED') throw notLoggedIn(error);
    if (error.code !== 'CONNECT_FAILED' && error.code !== 'TIMED_OUT') throw error;
    throw unreachable(servers.join(' or '), error, tls !== undefined);
  }
}

/**
 * Runs `work` with a connection that is closed afterwards. Of several nodes it is to the first that
 * answers; what that one does not own, its client asks of the others.
 * @throws CodedError, MqpError as {@link connectNode}, and what `work` throws
 */
export async function withNode<T>(
  options: ServerOptions,
  work: (client: MqpClient) => Promise<T>,
  timeoutMs = requestTimeoutMs,
): Promise<T> {
  const client = await connectNode(options, { timeoutMs });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

function unreachable(server: string, error: MqpError, isTls: boolean): Error {
  let root: Error = error;
  while (root.cause instanceof Error) root = root.cause;
  // From 24 on, Node adds how to start it: our hint says what there is to do here.
  const reason = root.message.split('\n')[0]?.replace(/; if the root CA .*/, '') ?? '';
  const hint = hintOn(`${codeOf(root)} ${reason}`, isTls);
  return coded('UNREACHABLE', `cannot reach a node at ${server}: ${reason}`, {
    cause: error,
    hint,
  });
}

function hintOn(reason: string, isTls: boolean): string {
  if (!isTls && /closed|ECONNRESET/.test(reason)) {
    return 'somebody listens there: a node that serves TLS wants --tls or --tls-ca FILE';
  }
  if (isTls && /certificate|CERT/.test(reason)) {
    return 'name the authority to trust with --tls-ca FILE';
  }
  if (isTls && /WRONG_VERSION|EPROTO|closed|ECONNRESET/.test(reason)) {
    return 'somebody listens there without TLS: leave --tls and --tls-ca out';
  }
  return 'start one with "mqproxy serve", or name another with --server HOST:PORT';
}

function notLoggedIn(error: MqpError): Error {
  return coded('UNREACHABLE', `${error.code}: ${error.message}`, {
    cause: error,
    hint: 'name a file with the token by --token-file, or set MQPROXY_TOKEN',
  });
}

function serversOf(list: string): string[] {
  return list.split(',').map(serverOf);
}

function serverOf(text: string): string {
  try {
    return formatAddress(parseAddress(text));
  } catch (error) {
    throw coded('USAGE', `--server: ${messageOf(error)}`, { cause: error });
  }
}

/** The token to log in with: of the file, or of the environment. @throws CodedError `USAGE` */
export function tokenOf(options: Pick<ServerOptions, 'token-file'>): string | undefined {
  const file = options['token-file'];
  return file === undefined ? process.env['MQPROXY_TOKEN'] : read('token-file', file).trim();
}

function tlsOf(options: ServerOptions): TlsOptions | undefined {
  const file = options['tls-ca'];
  if (file !== undefined) return { ca: read('tls-ca', file) };
  return options.tls ? {} : undefined;
}

function read(option: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw coded('USAGE', `--${option}: ${messageOf(error)}`, { cause: error });
  }
}

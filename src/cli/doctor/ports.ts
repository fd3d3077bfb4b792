import { createServer } from 'node:net';
import { parseAddress } from '../../config/address.ts';
import { type Finding, fail, ok } from './finding.ts';

/**
 * Checks that an address can be listened on.
 * @param isNode whether one of our nodes answers there, in which case it may be taken
 */
export async function checkPort(key: string, text: string, isNode: boolean): Promise<Finding> {
  const { host, port } = parseAddress(text);
  const code = await listenError(host, port);
  if (code === undefined) {
    return ok('port', port === 0 ? `${host} (${key}) has a free port` : `${text} (${key}) is free`);
  }
  const flag = key === 'listen' ? '--listen' : '--admin.listen';
  if (code === 'EADDRINUSE') {
    if (isNode) return ok('port', `${text} (${key}) is taken by a running node`);
    const advice = `end it (ss -ltnp shows which), or choose another with ${flag} HOST:PORT`;
    return fail('port', `${text} (${key}) is taken by another program`, advice);
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    const advice = `set ${flag} to an address of this machine, or 0.0.0.0:${port}`;
    return fail('port', `${host} (${key}) is not an address of this machine`, advice);
  }
  const advice = `choose another with ${flag}; ports below 1024 need rights`;
  return fail('port', `${text} (${key}) cannot be listened on: ${code}`, advice);
}

function listenError(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port }, () => server.close(() => resolve(undefined)));
  });
}

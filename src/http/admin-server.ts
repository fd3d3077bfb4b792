import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { coded } from '../base/errors.ts';

/** Whether the node can answer `stored`, and what else is wrong. */
export interface Readiness {
  readonly ready: boolean;
  /** `ok`, `degraded` (it answers, but a backend is away), or `unready`. */
  readonly state: 'ok' | 'degraded' | 'unready';
  readonly reasons: readonly string[];
}

/** What the admin port shows. */
export interface AdminSources {
  readiness(): Readiness;
  metrics(): Promise<{ type: string; text: string }>;
  status(): Record<string, unknown>;
  /** Which cluster is used and why; undefined when there is no backup. */
  cluster(): Record<string, unknown> | undefined;
}

/** Health, readiness, metrics and status over HTTP, for people and scrapers. Read-only. */
export class AdminServer {
  private readonly server: Server;
  private readonly sources: AdminSources;

  constructor(sources: AdminSources) {
    this.sources = sources;
    this.server = createServer({ keepAliveTimeout: 5_000, headersTimeout: 5_000 }, (req, res) => {
      this.route(req, res).catch(() => {
        if (!res.headersSent) res.writeHead(500);
        res.end();
      });
    });
    this.server.maxConnections = 100;
  }

  /** Begins to listen. @throws ADDRESS_IN_USE, ADDRESS_REFUSED */
  async listen(address: { host: string; port: number }): Promise<{ host: string; port: number }> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (error: NodeJS.ErrnoException) => {
        const code = error.code === 'EADDRINUSE' ? 'ADDRESS_IN_USE' : 'ADDRESS_REFUSED';
        const where = `${address.host}:${address.port}`;
        reject(coded(code, `cannot listen on ${where}: ${error.message}`, { cause: error }));
      });
      this.server.listen(address, resolve);
    });
    const bound = this.server.address();
    return {
      host: address.host,
      port: bound !== null && typeof bound === 'object' ? bound.port : 0,
    };
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
  }

  private async route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?', 1)[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      send(response, 405, { error: 'only GET here' });
    } else if (path === '/healthz') {
      send(response, 200, { alive: true });
    } else if (path === '/readyz') {
      const readiness = this.sources.readiness();
      send(response, readiness.ready ? 200 : 503, readiness);
    } else if (path === '/status') {
      send(response, 200, this.sources.status());
    } else if (path === '/cluster') {
      send(response, 200, this.sources.cluster() ?? { inUse: 'primary', hasBackup: false });
    } else if (path === '/metrics') {
      const { type, text } = await this.sources.metrics();
      response.writeHead(200, { 'content-type': type });
      response.end(text);
    } else {
      send(response, 404, {
        error: 'no such page',
        pages: ['/healthz', '/readyz', '/metrics', '/status', '/cluster'],
      });
    }
  }
}

function send(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
}

import { FaultProxy } from './fault-proxy.ts';
import { type KafkaBroker, type KafkaOptions, startKafka } from './kafka.ts';

/** A broker that is reached by way of a bad network. */
export interface ProxiedKafka {
  readonly broker: KafkaBroker;
  readonly proxy: FaultProxy;
  /** `127.0.0.1:PORT` of the proxy: what clients are given. `broker.address` is the way around. */
  readonly address: string;
}

/**
 * Starts a broker of the test's own that advertises the proxy's port: whatever a client does, its
 * connections are the proxy's.
 */
export async function startProxiedKafka(options: KafkaOptions = {}): Promise<ProxiedKafka> {
  const proxy = await FaultProxy.start();
  const config = { ...options.config, 'advertised.listeners': `PLAINTEXT://${proxy.address}` };
  const broker = await startKafka({ ...options, config });
  proxy.setTarget({ host: '127.0.0.1', port: broker.port });
  return { broker, proxy, address: proxy.address };
}

import { parseAddress } from './address.ts';
import type { Clock, Random } from './clock.ts';
import { MqpError } from './errors.ts';
import type { PipelineOptions } from './pipeline.ts';
import type { SupervisorOptions } from './supervisor.ts';
import type { ClientOptions } from './types.ts';

/** The options of a client with every default filled in. */
export interface Settings extends PipelineOptions, SupervisorOptions {
  readonly producerId: bigint;
  readonly epoch: number;
  readonly connectTimeoutMs: number;
  /** 0 = none. */
  readonly timeoutMs: number;
}

const U64_MAX = 0xffff_ffff_ffff_ffffn;

/** @throws MqpError INVALID_ARGUMENT */
export function settingsOf(options: ClientOptions, clock: Clock, random: Random): Settings {
  const addresses = options.servers.map(parseAddress);
  if (addresses.length === 0) throw invalid('servers must name at least one address');
  const producerId = options.producerId ?? 0n;
  if (producerId < 0n || producerId > U64_MAX) throw invalid('producerId has 64 bits');
  const epoch = options.epoch ?? 0;
  if (!Number.isInteger(epoch) || epoch < 0 || epoch > 0xffff) throw invalid('epoch has 16 bits');
  const connectTimeoutMs = options.connectTimeoutMs ?? 10_000;
  const isOrdered = options.ordered ?? true;
  return {
    clock,
    random,
    isOrdered,
    producerId,
    epoch,
    connectTimeoutMs,
    timeoutMs: options.timeoutMs ?? 60_000,
    inFlightMessagesMax: Math.max(1, options.inFlightMessagesMax ?? 16_384),
    bufferBytesMax: options.bufferBytesMax ?? 64 * 1024 * 1024,
    addresses,
    minMs: options.reconnect?.minMs ?? 100,
    maxMs: options.reconnect?.maxMs ?? 5000,
    nodeChangeAfterMs: options.nodeChangeAfterMs ?? 30_000,
    dial: {
      clock,
      // Several servers share the time, so that a silent one does not use it up.
      timeoutMs: Math.max(100, connectTimeoutMs / addresses.length),
      tls: options.tls,
      clientName: options.clientName ?? 'mqproxy-client-ts',
      token: options.token,
      isOrdered,
    },
  };
}

function invalid(message: string): MqpError {
  return new MqpError('INVALID_ARGUMENT', message);
}

import type { Question } from './question.ts';
import { backlog, drain } from './questions/backlog.ts';
import { embeddedTail, sdkPromises } from './questions/clients.ts';
import { consume1k, consume100, pipe1, pipe20k } from './questions/consume.ts';
import { delayBurst } from './questions/delay-burst.ts';
import { delayAccept, delayDue, delayDueEmbedded } from './questions/delay-due.ts';
import { delayPending, delayPendingEmbedded } from './questions/delay-pending.ts';
import { handlers1, handlers4, sdkConsume } from './questions/handlers.ts';
import { idleSubscriptions } from './questions/idle.ts';
import { inFlight } from './questions/in-flight.ts';
import { offered20k, offered20k1k, offered50k, oneAtATime, singles } from './questions/latency.ts';
import { allocations, growth, idleConnections } from './questions/memory.ts';
import { shareGroups } from './questions/share-groups.ts';
import {
  embedded1k,
  embedded100,
  laneHosts1k,
  laneHosts100,
  smallWindow,
  throughput1k,
  throughput100,
  throughputWithoutHeader,
} from './questions/throughput.ts';
import { trend } from './questions/trend.ts';

/** Everything that can be asked, in the order in which it is. */
export const questions: readonly Question[] = [
  throughput1k,
  throughput100,
  throughputWithoutHeader,
  smallWindow,
  singles,
  oneAtATime,
  offered20k,
  offered50k,
  offered20k1k,
  trend,
  laneHosts100,
  laneHosts1k,
  embedded100,
  embedded1k,
  embeddedTail,
  consume1k,
  consume100,
  shareGroups,
  pipe1,
  pipe20k,
  handlers1,
  handlers4,
  sdkPromises,
  sdkConsume,
  delayAccept,
  delayDue,
  delayDueEmbedded,
  idleConnections,
  idleSubscriptions,
  allocations,
  backlog,
  drain,
  inFlight,
  delayBurst,
  delayPending,
  delayPendingEmbedded,
  growth,
];

import { Opcode } from '../../protocol/src/generated.ts';
import type { Handler } from './handler.ts';
import { listAside, purgeAside, retryAside } from './handlers/aside.ts';
import { clusters, useCluster } from './handlers/clusters.ts';
import { credit, type SettleHandler, settled, subscribe, unsubscribe } from './handlers/consume.ts';
import { listDead, purgeDead, redriveDead } from './handlers/dead-letters.ts';
import {
  cancelDelayed,
  delayStats,
  getDelayed,
  listDelayed,
  moveDelayed,
} from './handlers/delayed.ts';
import {
  deleteGroup,
  describeGroup,
  listGroups,
  pauseGroup,
  resetGroup,
  resumeGroup,
} from './handlers/groups.ts';
import { cancelSeries, listSeries, scheduleSeries } from './handlers/series.ts';
import { ping, status } from './handlers/session.ts';
import { tail } from './handlers/tail.ts';
import { createTopic, describeTopic, listTopics, openTopic } from './handlers/topics.ts';

/** One handler for each opcode that a client may send after HELLO, produce apart. */
export const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [Opcode.PING, ping],
  [Opcode.OPEN_TOPIC, openTopic],
  [Opcode.CREATE_TOPIC, createTopic],
  [Opcode.DESCRIBE_TOPIC, describeTopic],
  [Opcode.LIST_TOPICS, listTopics],
  [Opcode.TAIL, tail],
  [Opcode.STATUS, status],
  [Opcode.CLUSTERS, clusters],
  [Opcode.USE_CLUSTER, useCluster],
  [Opcode.LIST_ASIDE, listAside],
  [Opcode.RETRY_ASIDE, retryAside],
  [Opcode.PURGE_ASIDE, purgeAside],
  [Opcode.LIST_DEAD, listDead],
  [Opcode.REDRIVE_DEAD, redriveDead],
  [Opcode.PURGE_DEAD, purgeDead],
  [Opcode.SUBSCRIBE, subscribe],
  [Opcode.UNSUBSCRIBE, unsubscribe],
  [Opcode.LIST_GROUPS, listGroups],
  [Opcode.DESCRIBE_GROUP, describeGroup],
  [Opcode.PAUSE_GROUP, pauseGroup],
  [Opcode.RESUME_GROUP, resumeGroup],
  [Opcode.RESET_GROUP, resetGroup],
  [Opcode.DELETE_GROUP, deleteGroup],
  [Opcode.GET_DELAYED, getDelayed],
  [Opcode.LIST_DELAYED, listDelayed],
  [Opcode.DELAY_STATS, delayStats],
  [Opcode.CANCEL_DELAYED, cancelDelayed],
  [Opcode.MOVE_DELAYED, moveDelayed],
  [Opcode.SCHEDULE_SERIES, scheduleSeries],
  [Opcode.CANCEL_SERIES, cancelSeries],
  [Opcode.LIST_SERIES, listSeries],
]);

/** What comes often and is answered by the engine itself. */
export const SETTLERS: ReadonlyMap<number, SettleHandler> = new Map<number, SettleHandler>([
  [Opcode.ACK, settled],
  [Opcode.NACK, settled],
  [Opcode.EXTEND, settled],
  [Opcode.COMMIT, settled],
  [Opcode.CREDIT, credit],
]);

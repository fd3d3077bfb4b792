import { LIST_ASIDE, PURGE_ASIDE, RETRY_ASIDE } from '../../protocol/src/aside.ts';
import { CLUSTERS, USE_CLUSTER } from '../../protocol/src/clusters.ts';
import { LIST_DEAD, PURGE_DEAD, REDRIVE_DEAD } from '../../protocol/src/dead-letters.ts';
import {
  CANCEL_DELAYED,
  DELAY_STATS,
  GET_DELAYED,
  LIST_DELAYED,
  MOVE_DELAYED,
} from '../../protocol/src/delayed.ts';
import {
  DELETE_GROUP,
  DESCRIBE_GROUP,
  LIST_GROUPS,
  PAUSE_GROUP,
  RESET_GROUP,
  RESUME_GROUP,
} from '../../protocol/src/groups.ts';
import type { MapMessage } from '../../protocol/src/map-message.ts';
import { CANCEL_SERIES, LIST_SERIES, SCHEDULE_SERIES } from '../../protocol/src/series.ts';
import { type FrameCodec, simple } from './frame-codec.ts';

/** Codecs of requests and answers that are maps, by the vectors' `type`. */
export const mapCodecs: Readonly<Record<string, FrameCodec>> = {
  ...both('list-dead', LIST_DEAD),
  ...both('redrive-dead', REDRIVE_DEAD),
  ...both('purge-dead', PURGE_DEAD),
  ...both('get-delayed', GET_DELAYED),
  ...both('list-delayed', LIST_DELAYED),
  ...both('delay-stats', DELAY_STATS),
  ...both('cancel-delayed', CANCEL_DELAYED),
  ...both('move-delayed', MOVE_DELAYED),
  ...both('list-groups', LIST_GROUPS),
  ...both('describe-group', DESCRIBE_GROUP),
  ...both('pause-group', PAUSE_GROUP),
  ...both('resume-group', RESUME_GROUP),
  ...both('reset-group', RESET_GROUP),
  ...both('delete-group', DELETE_GROUP),
  ...both('schedule-series', SCHEDULE_SERIES),
  ...both('cancel-series', CANCEL_SERIES),
  ...both('list-series', LIST_SERIES),
  ...both('clusters', CLUSTERS),
  ...both('use-cluster', USE_CLUSTER),
  ...both('list-aside', LIST_ASIDE),
  ...both('retry-aside', RETRY_ASIDE),
  ...both('purge-aside', PURGE_ASIDE),
};

function both<Request extends object, Answer extends object>(
  type: string,
  message: MapMessage<Request, Answer>,
): Record<string, FrameCodec> {
  return {
    [type]: simple<Request>(message.decode, message.encode),
    [`${type}-answer`]: simple<Answer>(message.decodeAnswer, message.encodeAnswer),
  };
}

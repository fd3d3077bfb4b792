import { coded } from '../base/errors.ts';
import type { LaneCallName } from './lane-calls.ts';

/**
 * What a lane that is out of service answers: the node goes on with the others, so what is told to
 * all lanes is taken, and only what needs this one's store is refused.
 *
 * @param lane how the lane is called, `lane 0` for example
 * @throws LANE_OUT
 */
export function answerOut(name: LaneCallName, lane: string, hint: string): unknown {
  switch (name) {
    case 'openSession':
    case 'aside':
    case 'log':
      throw coded('LANE_OUT', `${lane} is out of service`, { hint });
    case 'dropTopic':
      return 0;
    case 'flush':
      return false;
    default:
      return undefined;
  }
}

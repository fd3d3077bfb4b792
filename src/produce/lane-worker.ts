import { laneTask } from '../lanes/worker-lane.ts';
import { createLaneService } from './lane-service.ts';

/** The task of a lane's worker thread: it ends when the lane is closed. */
export const runLane = laneTask(createLaneService);

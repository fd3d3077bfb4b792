import type { LaneCallName, LaneCalls, LaneEvent, LaneMemory, StartLane } from './lane-calls.ts';

/** A lane without its thread: what a host needs of it. */
export interface LaneService {
  readonly bell: number;
  call(name: LaneCallName, args: readonly unknown[]): Promise<unknown>;
}

/** Makes the lane's service in the thread it is called in. */
export type CreateLaneService<O> = (
  options: O,
  memory: LaneMemory,
  mainBell: number,
  onEvent: (event: LaneEvent) => void,
) => Promise<LaneService>;

/** Hosts a lane on the calling thread: for tests, embedding and comparison. */
export function inlineLane<O>(create: CreateLaneService<O>, options: O): StartLane {
  return async (memory, bell, onEvent) => {
    const service = await create(options, memory, bell, onEvent);
    return {
      bell: service.bell,
      call: (name, ...args) =>
        service.call(name, args) as Promise<ReturnType<LaneCalls[typeof name]>>,
      stop: async () => {},
    };
  };
}
